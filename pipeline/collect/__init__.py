"""Readings from MQTT and Kafka into the files of a sensor source: decision 029."""

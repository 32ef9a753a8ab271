"""Sensor files to windowed features."""

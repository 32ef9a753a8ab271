"""Sensor files to clean readings to windows: plain functions, without Beam or TFX."""

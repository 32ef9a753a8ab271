"""Judges a model on its own figures and against the model that serves."""

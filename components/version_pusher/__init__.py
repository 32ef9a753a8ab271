"""Pushes what every gate blessed as a new version to serve."""

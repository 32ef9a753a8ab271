"""Moves traffic from the stable version to the next one, step by step, and back if it is worse."""

"""Transforms in batches of one size, so that the same rows make the same model."""

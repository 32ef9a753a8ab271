"""Transforms in batches that do not hang on time, so that the same rows make the same model."""

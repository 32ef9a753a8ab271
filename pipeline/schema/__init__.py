"""The verb ``schema``: infer the data's schema, compare it with the curated one, accept."""

from pipeline.schema.verbs import command

__all__ = ["command"]

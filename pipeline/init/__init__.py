"""From a database and sensor files to settings.yaml and a schema: the verb ``init``."""

from pipeline.init.verb import command

__all__ = ["command"]

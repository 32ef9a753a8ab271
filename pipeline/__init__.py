"""The pipeline: settings, definition, runners and the command line."""

"""The model: what a data scientist edits. Nothing here imports the rest of the project."""

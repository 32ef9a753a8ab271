"""Documents of a MongoDB collection: a source of rows."""

"""The gate that stops a run whose data breaks the schema."""

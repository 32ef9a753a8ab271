"""The curated schema, checked and handed to the pipeline."""

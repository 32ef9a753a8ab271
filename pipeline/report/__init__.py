"""A run as one HTML page: the decision, the pipeline, the data, the model, where it comes from."""

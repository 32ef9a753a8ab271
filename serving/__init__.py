"""The served versions of a model and what serves them."""

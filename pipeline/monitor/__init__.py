"""The verb ``monitor``: what is served now beside what the model was trained on."""

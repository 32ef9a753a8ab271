"""The model that serves now, handed on as the baseline of the next evaluation."""

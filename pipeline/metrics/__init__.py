"""What a run tells Prometheus: its stages, data, model and gates."""

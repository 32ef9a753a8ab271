"""Kubeflow Pipelines and Vertex AI: the definition compiled, submitted and run in containers."""

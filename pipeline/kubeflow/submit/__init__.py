"""The verb ``submit``: a package uploaded, run and watched, on Kubeflow or Vertex AI."""

"""Workers as pods of a TFJob, which Kubeflow's training operator starts."""

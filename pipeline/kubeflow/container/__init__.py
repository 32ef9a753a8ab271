"""What stands between Kubeflow's launcher and TFX's executors, inside a task's container."""

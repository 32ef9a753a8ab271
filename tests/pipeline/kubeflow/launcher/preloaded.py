"""What the tasks import, for the process that ``command.run_forked`` forks them from."""

import importlib

for module in (
    "pipeline.kubeflow.container.task",
    "tfx.components",
    "components.model_evaluator.executor",
    "components.point_in_time_join.executor",
    "components.sensor_example_gen.executor",
    "components.serving_gate.executor",
    "components.sql_example_gen.executor",
    "trainer.run",
):
    importlib.import_module(module)

"""Transform: TFX's, in batches that do not hang on time."""

from tfx.components.transform import component
from tfx.dsl.components.base import executor_spec

from components.transform import executor


class Transform(component.Transform):
    """TFX's Transform; inputs and outputs are the same."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

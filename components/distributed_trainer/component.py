"""Trainer, which trains in its own process or hands the training to workers."""

from tfx.components.trainer import component
from tfx.dsl.components.base import executor_spec

from components.distributed_trainer import executor


class Trainer(component.Trainer):
    """TFX's Trainer with an executor that knows launchers; inputs and outputs are the same.

    ``custom_config["workers"]`` is JSON of `components.distributed_trainer.settings.Launch`, or
    missing: then ``run_fn`` is called in this process, as TFX does.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

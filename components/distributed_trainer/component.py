"""Trainer, which trains in its own process or hands the training to workers."""

from tfx.components.trainer import component
from tfx.dsl.components.base import executor_spec

from components.distributed_trainer import executor


class Trainer(component.Trainer):
    """TFX's Trainer with an executor that knows launchers; inputs and outputs are the same.

    ``custom_config["workers"]`` is how many workers train, since sums of floats in another order
    make another model; where and how they do says the environment variable `settings.LAUNCH`.
    Without it ``run_fn`` is called in this process, as TFX does.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

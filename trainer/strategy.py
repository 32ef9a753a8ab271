"""Where a model is trained: the one place that names devices.

``run_fn`` builds, compiles and fits under what this hands back. Several machines and TPUs need
inputs and outputs that all of them see; strategies for them belong here.
"""

import tensorflow as tf

from trainer.features import Strategy


def distribution(name: Strategy) -> tf.distribute.Strategy:
    """The distribution strategy that a setting means.

    Args:
      name: ``none`` trains on one device, ``mirrored`` on every GPU of this machine (on the CPU if
        there is none), ``auto`` mirrors if there are several GPUs.

    Raises:
      ValueError: for ``multi_worker`` and ``tpu``: this trainer runs as one process.
    """
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "auto":
        several = len(tf.config.list_logical_devices("GPU")) > 1
        return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()
    if name == "none":
        return tf.distribute.get_strategy()
    raise ValueError(
        f"training.strategy is {name!r}: this trainer runs as one process. "
        "Use none, auto or mirrored"
    )

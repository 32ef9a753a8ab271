"""Where a model is trained: the one place that names devices and other machines.

``run_fn`` builds, compiles and fits under what this hands back.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from trainer.features import Communication, Strategy

TPU_VARIABLES = ("TPU_NAME", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_WORKER_HOSTNAMES")
"""What a machine with a TPU, Google Kubernetes Engine and Vertex AI set."""


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where training runs, and why there.

    Attributes:
      strategy: TensorFlow's.
      asked: ``training.strategy``.
      chosen: what that came to: none, mirrored, multi_worker or tpu.
      why: in plain words.
      workers: processes that train together.
      index: which of them this is; 0 is the chief, which saves.
    """

    strategy: tf.distribute.Strategy
    asked: Strategy
    chosen: Strategy
    why: str
    workers: int = 1
    index: int = 0

    @property
    def chief(self) -> bool:
        """Whether this process writes the model and its records."""
        return self.index == 0

    @property
    def replicas(self) -> int:
        """Copies of the model that learn together; each takes its part of every batch."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def devices(self) -> list[str]:
        """The devices of this process that learn."""
        if self.chosen == "none":
            return ["GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"]
        names = self.strategy.extended.worker_devices
        return [name.rpartition("device:")[2] for name in names]


def place(
    asked: Strategy,
    communication: Communication | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Placement:
    """Chooses where to train. Has to come before anything else is computed: collective operations
    are set up when TensorFlow starts.

    Args:
      asked: ``none`` trains on one device; ``mirrored`` on every GPU of this machine (on the CPU if
        there is none); ``multi_worker`` with the workers that TF_CONFIG names; ``tpu`` on a TPU.
        ``auto`` takes the workers that TF_CONFIG names, else a TPU, else several GPUs, else one
        device.
      communication: how workers talk to each other.
      environment: variables that tell of workers and TPUs.

    Raises:
      ValueError: if what was asked for is not there; the message says what is missing.
    """
    workers, index = _cluster(environment) if asked in ("auto", "multi_worker") else (0, 0)
    chosen: Strategy = asked
    why = "training.strategy says so"
    if asked == "auto":
        chosen, why = _automatic(workers, environment)
    if chosen == "none":
        return Placement(tf.distribute.get_strategy(), asked, chosen, why)
    if chosen == "mirrored":
        return Placement(tf.distribute.MirroredStrategy(), asked, chosen, why)
    if chosen == "tpu":
        return Placement(_tpu(environment), asked, chosen, why)
    if not workers:
        raise ValueError(
            "training.strategy is 'multi_worker', and TF_CONFIG does not say which workers there "
            "are: the launchers of training.workers set it; without them, use none or mirrored"
        )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=_options(communication or Communication())
    )
    return Placement(strategy, asked, chosen, why, workers, index)


def _automatic(workers: int, environment: Mapping[str, str]) -> tuple[Strategy, str]:
    if workers > 1:
        return "multi_worker", f"TF_CONFIG names {workers} workers"
    named = next((name for name in TPU_VARIABLES if environment.get(name)), None)
    if named:
        return "tpu", f"{named} is set"
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus > 1:
        return "mirrored", f"this machine has {gpus} GPUs"
    return "none", "this machine has one GPU" if gpus else "this machine has no GPU"


def _cluster(environment: Mapping[str, str]) -> tuple[int, int]:
    """How many workers TF_CONFIG names, and which of them this process is.

    The format: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable

    Raises:
      ValueError: if it is no such text.
    """
    text = environment.get("TF_CONFIG", "")
    if not text.strip():
        return 0, 0
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        chiefs, others = len(cluster.get("chief", [])), len(cluster.get("worker", []))
        kind, index = task["type"], int(task["index"])
        if kind not in ("chief", "worker") or not 0 <= index < len(cluster[kind]):
            raise ValueError(f"task {kind} {index} is not in the cluster")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"TF_CONFIG is {text[:200]!r}: {error}. Expected {{'cluster': {{'worker': "
            "['host:port', …]}, 'task': {'type': 'worker', 'index': 0}}}"
        ) from None
    return chiefs + others, index if kind == "chief" else chiefs + index


def _options(asked: Communication) -> tf.distribute.experimental.CommunicationOptions:
    kinds = tf.distribute.experimental.CommunicationImplementation
    return tf.distribute.experimental.CommunicationOptions(
        bytes_per_pack=asked.bytes_per_pack,
        timeout_seconds=asked.timeout_seconds,
        implementation=getattr(kinds, asked.implementation.upper()),
    )


def _tpu(environment: Mapping[str, str]) -> tf.distribute.Strategy:
    try:
        # Where nothing is named, the resolver looks for a TPU of this machine.
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=environment.get("TPU_NAME", "")
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError) as error:
        told = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"training.strategy is 'tpu', and no TPU can be used: {told}. Set TPU_NAME, run on a "
            "machine that has one, or use auto"
        ) from None


def precision(asked: bool | str, placement: Placement) -> tuple[str, str]:
    """Keras's policy for the layers, and why that one.

    Args:
      asked: ``training.mixed_precision``: False, True (what the hardware is quicker with), or
        float16 or bfloat16.
      placement: where training runs.
    """
    if not asked:
        return "float32", "training.mixed_precision is off"
    if asked is not True:
        return f"mixed_{asked}", "training.mixed_precision says so"
    if placement.chosen == "tpu":
        return "mixed_bfloat16", "a TPU multiplies in it"
    if any(device.startswith("GPU") for device in placement.devices):
        return "mixed_float16", "GPUs multiply in it; the loss is scaled, as small gradients vanish"
    flags = _cpu_flags()
    found = next((flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags), None)
    if found:
        return "mixed_bfloat16", f"this processor multiplies in it ({found})"
    return "float32", "this processor multiplies in nothing shorter"


def _cpu_flags() -> set[str]:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            line = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return set()
    return set(line.split())


def save_options(placement: Placement) -> tf.saved_model.SaveOptions:
    """How a model is saved from there: a TPU's variables are read by this process."""
    device = "/job:localhost" if placement.chosen == "tpu" else None
    return tf.saved_model.SaveOptions(experimental_io_device=device)

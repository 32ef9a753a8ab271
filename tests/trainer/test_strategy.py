"""Which strategy is chosen, and why; what is missing is told."""

import json
from typing import Any

import pytest
import tensorflow as tf

from trainer import strategy
from trainer.features import Communication
from trainer.strategy import place, precision

pytestmark = pytest.mark.tfx

TWO = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}


def test_without_anything_it_is_one_device() -> None:
    placed = place("auto", environment={})
    assert (placed.chosen, placed.why) == ("none", "this machine has no GPU")
    assert (placed.workers, placed.replicas, placed.chief) == (1, 1, True)
    assert placed.devices == ["CPU:0"]


def test_mirrored_mirrors() -> None:
    assert isinstance(place("mirrored", environment={}).strategy, tf.distribute.MirroredStrategy)


@pytest.mark.parametrize(
    ("task", "index", "implementation"),
    [(("worker", 0), 1, "nccl"), (("chief", 0), 0, "ring"), (("worker", 1), 2, "auto")],
)
def test_the_workers_of_tf_config(
    monkeypatch: Any, task: tuple[str, int], index: int, implementation: Any
) -> None:
    asked = {}

    def made(communication_options: Any) -> tf.distribute.Strategy:
        asked["options"] = communication_options
        return tf.distribute.get_strategy()

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", made)
    config = {
        "cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]},
        "task": {"type": task[0], "index": task[1]},
    }
    communication = Communication(implementation, 1 << 20, 90.0)
    placed = place("auto", communication, {"TF_CONFIG": json.dumps(config)})
    assert (placed.chosen, placed.why) == ("multi_worker", "TF_CONFIG names 3 workers")
    assert (placed.workers, placed.index, placed.chief) == (3, index, index == 0)
    assert asked["options"].bytes_per_pack == 1 << 20
    assert asked["options"].timeout_seconds == 90.0
    assert asked["options"].implementation.name == implementation.upper()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "TF_CONFIG is '{'"),
        ("[]", "Expected {'cluster'"),
        (json.dumps(TWO | {"task": {"type": "worker", "index": 2}}), "worker 2 is not in the"),
        (json.dumps(TWO | {"task": {"type": "ps", "index": 0}}), "ps 0 is not in the cluster"),
        (json.dumps({"cluster": TWO["cluster"]}), "'task'"),
    ],
)
def test_a_wrong_tf_config_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="TF_CONFIG is") as raised:
        place("auto", environment={"TF_CONFIG": text})
    assert told in str(raised.value)


def test_workers_that_nobody_names_are_missed() -> None:
    with pytest.raises(ValueError, match=r"TF_CONFIG does not say .* use none or mirrored"):
        place("multi_worker", environment={})


def test_no_tpu_is_told() -> None:
    with pytest.raises(ValueError, match=r"no TPU can be used: .* Set TPU_NAME"):
        place("tpu", environment={})


def test_a_tpu_is_connected_to_initialised_and_used(monkeypatch: Any) -> None:
    """Up to the hardware: the resolver, and what it is handed to, stand in for it."""
    calls: list[tuple[str, Any]] = []

    def seen(name: str, result: Any = None) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            calls.append((name, named.get("tpu", given[0] if given else None)))
            return result

        return call

    one = tf.distribute.get_strategy()
    monkeypatch.setattr(
        tf.distribute.cluster_resolver, "TPUClusterResolver", seen("resolver", "the resolver")
    )
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", seen("connect"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", seen("initialize"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", seen("strategy", one))
    placed = place("auto", environment={"TPU_NAME": "node-1"})
    assert (placed.chosen, placed.why, placed.strategy) == ("tpu", "TPU_NAME is set", one)
    assert calls == [
        ("resolver", "node-1"),
        ("connect", "the resolver"),
        ("initialize", "the resolver"),
        ("strategy", "the resolver"),
    ]
    assert precision(True, placed)[0] == "mixed_bfloat16"
    assert strategy.save_options(placed).experimental_io_device == "/job:localhost"


@pytest.mark.parametrize(
    ("asked", "flags", "policy"),
    [
        (False, {"avx512_bf16"}, "float32"),
        (True, {"avx512_bf16", "sse"}, "mixed_bfloat16"),
        (True, {"sse"}, "float32"),
        ("float16", set(), "mixed_float16"),
        ("bfloat16", set(), "mixed_bfloat16"),
    ],
)
def test_precision(monkeypatch: Any, asked: Any, flags: set[str], policy: str) -> None:
    monkeypatch.setattr(strategy, "_cpu_flags", lambda: flags)
    found, why = precision(asked, place("none", environment={}))
    assert found == policy and why

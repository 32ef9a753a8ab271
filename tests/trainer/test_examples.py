"""Which examples come when, and to whom: in memory, streamed, cached, to one worker and to many."""

import itertools
import logging
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.distributed_trainer.accessor import TF_EXAMPLE, data_accessor
from trainer.examples import Examples, hold, read
from trainer.features import Config
from trainer.files import Files
from trainer.model import Target
from trainer.run import _course
from trainer.strategy import Placement

pytestmark = pytest.mark.tfx

ONE = "type: FLOAT shape { dim { size: 1 } } presence { min_fraction: 1 min_count: 1 }"
SCHEMA = text_format.Parse(
    f'feature {{ name: "numeric" {ONE} }} feature {{ name: "label" {ONE} }}', schema_pb2.Schema()
)
UNEVEN = (60, 110, 50, 80)
"""Rows by file: two workers come to 160 and 140."""


def example(number: int) -> bytes:
    lists = {"numeric": [float(number)], "label": [float(number % 2)]}
    features = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=values))
        for name, values in lists.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture
def config() -> Any:
    def make(batch_size: int) -> Config:
        features = {"numeric": ["x"]}
        training = {"batch_size": batch_size}
        label = {"name": "y", "task": "binary"}
        return Config.read({"config": {"label": label, "features": features, "training": training}})

    return make


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes files whose rows are numbered from 0, and reads them."""

    def write(sizes: tuple[int, ...], config: Config, memory: int = 0, cache: str = "") -> Examples:
        rows = iter(range(sum(sizes)))
        for index, size in enumerate(sizes):
            with tf.io.TFRecordWriter(str(tmp_path / f"file-{index}.gz"), "GZIP") as writer:
                for _ in range(size):
                    writer.write(example(next(rows)))
        files = Files([str(tmp_path / "file-*")], data_accessor(TF_EXAMPLE), SCHEMA, cache)
        return read(files, config, memory)

    return write


def placement(replicas: int = 1, workers: int = 1, index: int = 0, tpu: bool = False) -> Placement:
    """A strategy's stand-in: it takes a worker's dataset as it is."""
    strategy: Any = types.SimpleNamespace(
        num_replicas_in_sync=replicas, distribute_datasets_from_function=lambda make: make(None)
    )
    chosen = "tpu" if tpu else "multi_worker" if workers > 1 else "none"
    return Placement(strategy, "auto", chosen, "", workers, index)  # type: ignore[arg-type]


def rows(examples: Examples, config: Config, where: Placement, steps: int, done: int = 0) -> list:
    """The rows of each batch."""
    target = Target.measure("binary", examples.labels, 0, True)
    batches = examples.training(config, target, where, done).take(steps)
    return [batch["numeric"].numpy().ravel().astype(int).tolist() for batch, _, _ in batches]


def flat(batches: list) -> list:
    return list(itertools.chain.from_iterable(batches))


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_each_example_comes_once_an_epoch_in_an_order_of_its_own(
    write, config, memory, monkeypatch
):
    monkeypatch.setattr("trainer.examples.BLOCK", 16)
    asked = config(7)  # 43 batches, the last of 6
    examples = write(UNEVEN, asked, memory)
    assert (examples.held is None) == (memory == 0)
    both = rows(examples, asked, placement(), 86)
    assert [len(batch) for batch in both] == ([7] * 42 + [6]) * 2
    first, second = flat(both[:43]), flat(both[43:])
    assert sorted(first) == sorted(second) == list(range(300))
    assert first != second and first != sorted(first)
    # Whoever goes on in the second epoch sees what an undisturbed run would have seen.
    assert rows(examples, asked, placement(), 40, done=45) == both[45:85]


def graph_bytes(dataset: Any) -> int:
    own = (made.function.graph.as_graph_def().ByteSize() for made in dataset._functions())
    return sum(own) + sum(map(graph_bytes, dataset._inputs()))


def test_what_is_held_is_no_part_of_a_graph(config):
    # tf.data copies its graphs again and again: constants in them took twenty times their size.
    asked, sizes = config(32), []
    for count in (100, 10_000):
        label = (np.arange(count) % 2).astype(np.float32)[:, np.newaxis]
        examples = hold({"numeric": np.zeros((count, 50), np.float32), "label": label}, asked)
        target = Target.measure("binary", examples.labels, 0, True)
        training = examples.training(asked, target, placement())
        evaluating, _ = examples.batches(asked, target, placement(), 32)
        sizes.append(graph_bytes(training) + graph_bytes(evaluating))
    assert sizes[1] - sizes[0] < 10_000 * 50 * 4 / 20


def test_what_is_cached_is_the_same(write, config, tmp_path):
    asked = config(32)
    plain = rows(write(UNEVEN, asked), asked, placement(), 20)
    (tmp_path / "parsed").mkdir()
    examples = write(UNEVEN, asked, cache=str(tmp_path / "parsed"))
    for name in examples.rows:
        Path(name).write_bytes(b"gone")
    assert rows(examples, asked, placement(), 20) == plain


def test_workers_that_read_all_share_the_batches_of_one_process(write, config, caplog):
    asked = config(32)
    examples = write((200, 100), asked)
    one = rows(examples, asked, placement(), 20)
    with caplog.at_level(logging.INFO, "absl"):
        parts = [rows(examples, asked, placement(3, 3, index), 20) for index in range(3)]
    assert [flat(each) for each in zip(*parts, strict=True)] == one
    assert "2 files for 3 workers, which would read 200, 100, 0 of 300 examples: too" in caplog.text


def test_workers_with_files_of_their_own_take_each_example_once(write, config, caplog):
    asked = config(32)  # 10 steps an epoch
    examples = write(UNEVEN, asked)
    with caplog.at_level(logging.INFO, "absl"):
        parts = [rows(examples, asked, placement(2, 2, index), 20) for index in range(2)]
    assert "each reads its own files" in caplog.text
    for epoch in (slice(0, 10), slice(10, 20)):
        first, second = (flat(part[epoch]) for part in parts)
        assert sorted(first + second) == list(range(300))
        assert (len(first), len(second)) == (160, 140)
    assert {len(batch) for batch in parts[0]} == {16} and {len(b) for b in parts[1]} == {14}


def test_devices_of_one_worker_take_parts_of_its_batches(write, config):
    asked = config(33)
    examples = write(UNEVEN, asked, 1 << 20)
    one = rows(examples, asked, placement(), 10)
    parts = rows(examples, asked, placement(4), 40)
    assert [flat(parts[i : i + 4]) for i in range(0, 40, 4)] == one
    assert [len(part) for part in parts[:4]] == [8, 8, 8, 9]


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_a_tpu_is_given_batches_whose_size_it_knows(write, config, memory):
    asked = config(32)
    examples = write(UNEVEN, asked, memory)
    target = Target.measure("binary", examples.labels, 0, True)
    where = placement(8, tpu=True)
    _, steps = _course(len(examples), asked.training, where, types.SimpleNamespace(train_steps=0))
    assert steps == 9
    training = examples.training(asked, target, where)
    evaluation, batches = examples.batches(asked, target, where, 128)
    assert batches == 3
    for dataset, each, count in ((training, 4, 9), (evaluation, 12, 3)):
        assert [spec.shape[0] for spec in tf.nest.flatten(dataset.element_spec)] == [each] * 3
        seen = [x["numeric"].numpy().ravel() for x, _, _ in dataset.take(8 * count)]
        assert len(set(np.concatenate(seen))) == 8 * count * each
    with pytest.raises(ValueError, match=r"batch_size is 30: .* multiple of 8"):
        _course(300, config(30).training, where, types.SimpleNamespace(train_steps=0))
    with pytest.raises(ValueError, match=r"eval split has 300 examples, and the TPU 512 replicas"):
        examples.batches(asked, target, placement(512, tpu=True), 4096)


def test_evaluation_takes_every_example_over_and_over(write, config):
    asked = config(32)
    examples = write(UNEVEN, asked)
    target = Target.measure("binary", examples.labels, 0, True)
    dataset, steps = examples.batches(asked, target, placement(), 128)
    passes = [x["numeric"].numpy().ravel() for x, _, _ in dataset.take(2 * steps)]
    assert steps == 3 and [len(batch) for batch in passes] == [128, 128, 44] * 2
    assert sorted(np.concatenate(passes[:3])) == list(range(300))
    assert examples.batches(asked, target, placement(), 128, limit=2)[1] == 2

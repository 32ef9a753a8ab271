"""What moves is found, and what does not is not: on fleets whose truth is known."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from pipeline.monitor.served import Served
from pipeline.settings.drift import Drift

pytestmark = pytest.mark.tfx
TYPES = {"level": "float", "noise": "float", "model": "bytes"}
SCHEMA = """
feature { name: "level" type: FLOAT float_domain { min: -50 max: 50 } }
feature { name: "noise" type: FLOAT }
feature { name: "model" type: BYTES string_domain { value: "A" value: "C" } }
"""


def fleet(entities: int, rows: int, seed: int, first: int = 0) -> pa.Table:
    """Entities have levels of their own, far apart; a tenth of them is of model B."""
    rng = np.random.default_rng([seed, 1])
    names = np.repeat(np.arange(first, first + entities), rows)
    own = np.random.default_rng(99).normal(0, 5, 10_000)
    return pa.table(
        {
            "level": pa.array((own[names] + rng.normal(size=len(names))).astype(np.float32)),
            "noise": pa.array(rng.normal(size=len(names)).astype(np.float32)),
            "model": pa.array([b"B" if n % 10 == 0 else b"A" for n in names], pa.binary()),
            "entity": pa.array(names),
        }
    )


def served(table: pa.Table, probability: np.ndarray | None = None, version: int = 1) -> Served:
    rows = len(table)
    if probability is None:
        probability = np.random.default_rng(5).beta(1, 30, rows)
    return Served(
        features=table.drop(["entity"]),
        answers=pa.table({"probabilities": pa.array(probability.astype(np.float32))}),
        versions=np.full(rows, version, np.int64),
        about=[str(name) for name in table["entity"].to_pylist()],
        observed=np.arange(rows),
        request=np.arange(rows),
        requests=rows,
        drawn_of=rows,
        damaged=[],
    )


@pytest.fixture(scope="module")
def find() -> Callable:
    """Compares with a fleet of 200 entities; returns what moved as kind and feature."""
    from google.protobuf import text_format

    from pipeline.monitor.baseline import Baseline
    from pipeline.monitor.compare import compare
    from pipeline.monitor.distances import as_examples, statistics_of

    def split(seed: int):
        return statistics_of(as_examples(fleet(200, 50, seed).drop(["entity"])))

    answers = np.random.default_rng(4).beta(1, 30, 5_000).astype(np.float32)
    baseline = Baseline(
        1,
        {"train": split(1), "eval": split(2)},
        text_format.Parse(SCHEMA, schema_pb2.Schema()),
        TYPES,
        pa.table({"probabilities": pa.array(answers)}),
        {},
    )

    def find(now: Served, before: Served | None = None, **drift) -> dict:
        found = compare(now, before, baseline, Drift(**drift))
        assert found == sorted(found, key=lambda one: one.rank)
        return {(one.kind, one.feature): one for one in found if one.moved}

    return find


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def shifted(table: pa.Table, by: float, name: str = "level") -> pa.Table:
    moved = table[name].to_numpy() + np.float32(by)
    return with_column(table, name, pa.array(moved))


def test_nothing_moved(find: Callable) -> None:
    assert not find(served(fleet(200, 5, 3)), served(fleet(200, 5, 4)))


def test_a_few_entities_are_no_other_world(find: Callable) -> None:
    """A thousand rows of eight entities look like drift where rows are taken for independent."""
    from pipeline.monitor.distances import as_examples, distances, statistics_of

    few = fleet(8, 125, 3)
    many = fleet(200, 50, 1)
    sides = (statistics_of(as_examples(table.drop(["entity"]))) for table in (few, many))
    assert distances(*sides, {"level": "numeric"})["level"] > Drift().skew
    assert not find(served(few))
    # That they stand for themselves alone is not said of what differs between rows.
    assert ("skew", "noise") in find(served(shifted(few, 2.0, "noise")))


def test_a_recalibration(find: Callable) -> None:
    now, before = fleet(200, 5, 3), fleet(200, 5, 4)
    found = find(served(shifted(now, 10)), served(before))
    assert found.keys() == {("skew", "level"), ("drift", "level")}
    assert found["skew", "level"].measure == "Jensen-Shannon"
    # Less of fewer shows from one stretch to the next only, where each entity is beside itself.
    few, earlier = shifted(fleet(20, 50, 3), 4.0), fleet(20, 50, 4)
    assert find(served(few), served(earlier)).keys() == {("drift", "level")}


def test_a_value_that_training_never_saw(find: Callable) -> None:
    now = fleet(200, 5, 3)
    entities = now["entity"].to_numpy()
    model = [b"D9" if e in (3, 5, 7) else b"C" if e == 9 else b"A" for e in entities]
    found = find(served(with_column(now, "model", pa.array(model, pa.binary()))))
    one = found["unseen", "model"]  # the schema knows C though training had none
    assert one.distance == pytest.approx(3 / 200)
    assert one.seen == "'D9' 1.5%"


def test_values_that_are_missing_or_out_of_range(find: Callable) -> None:
    now = fleet(200, 5, 3)
    entities = now["entity"].to_numpy()
    level = now["level"].to_numpy().copy()
    level[entities < 5] = 99
    gone = pa.array(now["noise"].to_numpy(), mask=entities % 3 == 0)
    found = find(served(with_column(with_column(now, "level", pa.array(level)), "noise", gone)))
    assert found["out_of_range", "level"].distance == pytest.approx(5 / 200)
    assert found["out_of_range", "level"].seen == "such as 99, expected -50 to 50"
    assert found["missing", "noise"].distance == pytest.approx(67 / 200)
    nothing = with_column(now, "noise", pa.nulls(len(now), pa.float32()))
    assert find(served(nothing)).keys() == {("missing", "noise")}


def test_answers(find: Callable) -> None:
    now = fleet(200, 5, 3)
    rng = np.random.default_rng(6)
    assert find(served(now, rng.beta(1, 8, len(now)))).keys() == {("prediction", "probabilities")}
    # Of probabilities below 1/128 nobody can tell whether 0.001 or 0.004 is right.
    low = rng.beta(1, 30, len(now))
    assert not find(served(now, np.where(low < 1 / 128, low / 10, low)))
    # Another version's answers are not the release's.
    assert not find(served(now, rng.beta(1, 3, len(now)), version=2))


def test_another_version_before_and_a_feature_that_is_new(find: Callable) -> None:
    """What only one of the stretches has is no drift, and the rest is measured all the same."""
    before = fleet(200, 5, 4)
    before = with_column(before, "noise", pa.nulls(len(before), pa.float32()))
    now = served(shifted(fleet(200, 5, 3), 10))
    found = find(now, served(before, np.full(len(before), 0.9), version=0))
    assert found.keys() == {("skew", "level"), ("drift", "level")}


def test_what_settings_allow(find: Callable) -> None:
    now = served(shifted(fleet(200, 5, 3), 10))
    assert find(now, features={"lev*": 0.05}).keys() == {("skew", "level")}
    assert not find(now, features={"lev*": 1.0})
    assert not find(now, ignore=["lev*"])

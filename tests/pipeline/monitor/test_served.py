"""What the server kept comes back as the rows that were asked about."""

from pathlib import Path

import numpy as np
from tensorflow.core.example import example_pb2

from components.ingest.durations import MICROSECONDS
from pipeline.monitor.records import Columns
from pipeline.monitor.served import read_served
from serving.online.columns import MISSING_INTEGER
from tests.pipeline.monitor.conftest import BEGIN, DAY, MODEL, keep, observed

COLUMNS = Columns(
    {"load": "float", "starts": "int", "critical": "int", "model": "bytes", "new": "float"},
    "machine_id",
    "observed_at",
)
SECOND = MICROSECONDS["s"]


def read(folder: Path, begin: float = BEGIN, end: float = BEGIN + DAY, most: int = 100):
    return read_served(folder / MODEL, int(begin * SECOND), int(end * SECOND), COLUMNS, most)


def asked(load: float, starts: int, critical: float, model: bytes) -> dict[str, np.ndarray]:
    """A request's columns, as ``predict_columns`` takes them."""
    return {
        "load": np.array([load]),
        "starts": np.array([starts]),
        "critical": np.array([critical]),
        "model": np.array([model], object),
    }


def answered(*probabilities: float) -> dict[str, np.ndarray]:
    return {
        "probabilities": np.array(probabilities, np.float32),
        "all": np.array([[1.0, 2.0]] * len(probabilities)),
    }


def test_columns_with_their_marks_of_missing_values(tmp_path: Path) -> None:
    keep(
        tmp_path,
        [
            (BEGIN + 1, observed(17, BEGIN), asked(0.5, 3, 1.0, b"A10"), answered(0.25)),
            (
                BEGIN + 2,
                observed("a b&c", BEGIN).replace("a b&c", "a+b%26c"),
                asked(np.nan, MISSING_INTEGER, np.nan, b""),
                answered(0.75),
            ),
        ],
        version=4,
    )
    served = read(tmp_path)
    assert served.features.to_pylist() == [
        {"load": 0.5, "starts": 3, "critical": 1, "model": b"A10", "new": None},
        {"load": None, "starts": None, "critical": None, "model": None, "new": None},
    ]
    assert served.answers.to_pylist() == [
        {"all_0": 1.0, "all_1": 2.0, "probabilities": 0.25},
        {"all_0": 1.0, "all_1": 2.0, "probabilities": 0.75},
    ]
    assert served.about == ["17", "a b&c"]
    assert served.observed.tolist() == [BEGIN * SECOND] * 2
    assert served.versions.tolist() == [4, 4]
    assert (served.requests, served.drawn_of) == (2, 2)


def test_examples_tell_themselves_what_they_are_about(tmp_path: Path) -> None:
    rows = []
    for machine, load in ((3, 0.5), (4, None)):
        made = example_pb2.Example()
        made.features.feature["machine_id"].int64_list.value.append(machine)
        made.features.feature["observed_at"].int64_list.value.append(BEGIN * SECOND)
        made.features.feature["note"].bytes_list.value.append(b"not a feature")
        if load is not None:
            made.features.feature["load"].float_list.value.append(load)
        rows.append(made.SerializeToString())
    inputs = {"examples": np.array(rows, object)}
    keep(tmp_path, [(BEGIN, "", inputs, answered(0.1, 0.2))])
    keep(tmp_path, [(BEGIN + 9, observed(7, BEGIN), asked(1, 2, 0, b"B7"), answered(0.3))])
    served = read(tmp_path)
    assert served.features["load"].to_pylist() == [0.5, None, 1.0]
    assert served.about == ["3", "4", "7"]
    assert served.observed.tolist() == [BEGIN * SECOND] * 3
    assert served.request.tolist() == [0, 0, 1]
    assert served.requests == 2


def test_requests_that_tell_nothing_are_each_of_an_entity_of_their_own(tmp_path: Path) -> None:
    two = {name: np.repeat(array, 2) for name, array in asked(1, 2, 0, b"B7").items()}
    keep(
        tmp_path,
        [
            (BEGIN, "", two, answered(0.1, 0.2)),
            (BEGIN + 1, "", two, answered(0.1, 0.2)),
            (BEGIN + 2, observed(7, BEGIN), asked(1, 2, 0, b"B7"), answered(0.3)),
            # One row's words for two rows say nothing of either.
            (BEGIN + 3, observed(8, BEGIN), two, answered(0.1, 0.2)),
        ],
    )
    served = read(tmp_path)
    assert served.about == [None] * 4 + ["7", None, None]
    first, second, told, third = (served.entities[i] for i in (0, 2, 4, 5))
    assert served.entities.tolist() == [first, first, second, second, told, third, third]
    assert len({first, second, told, third}) == 4


def test_only_the_stretch_and_no_more_than_asked_for(tmp_path: Path) -> None:
    hours = [
        (BEGIN + hour * 3_600, observed(hour, BEGIN), asked(hour, 0, 0, b"A"), answered(0.5))
        for hour in range(-3, 30)
    ]
    keep(tmp_path, hours)
    served = read(tmp_path)
    assert sorted(served.features["load"].to_pylist()) == list(range(24))  # the end is excluded
    drawn = read(tmp_path, most=10)
    assert (drawn.requests, drawn.drawn_of) == (10, 24)
    assert len(set(drawn.about)) == 10
    assert drawn.about == read(tmp_path, most=10).about
    assert not read(tmp_path, begin=BEGIN + 90 * DAY, end=BEGIN + 91 * DAY).about


def test_a_damaged_file_is_told_and_others_are_read(tmp_path: Path) -> None:
    keep(tmp_path, [(BEGIN, observed(1, BEGIN), asked(1, 0, 0, b"A"), answered(0.5))])
    (good,) = (tmp_path / MODEL / "1").iterdir()
    cut = good.with_name(good.name.replace(good.name.split("-")[2], "0.tfrecord.gz"))
    cut.write_bytes(good.read_bytes()[:-20])
    (tmp_path / MODEL / "1" / "notes.tfrecord.gz").write_text("somebody else's")
    served = read(tmp_path)
    assert served.about == ["1"]
    (told,) = served.damaged
    assert str(cut) in told

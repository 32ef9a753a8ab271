"""What rows are about, when they happened, and what could be predicted."""

import pyarrow as pa
import pytest

from components.ingest.durations import MICROSECONDS, parse_duration, parse_instant
from pipeline.init import columns, judge, labels
from pipeline.init.facts import Column, Course, Table, course_of, epoch_unit

HOUR = MICROSECONDS["h"]
DAY0 = parse_instant("2025-01-01")


def column(name, values, kind=None, **more):
    array = values if isinstance(values, pa.Array) else pa.array(values)
    kinds = {"int64": "int", "double": "float", "string": "text", "bool": "bool"}
    return Column(name, kind or kinds[str(array.type)], array, **more)


def times(name, hours):
    instants = [None if h is None else DAY0 + int(h * HOUR) for h in hours]
    return column(name, pa.array(instants, pa.int64()), "time")


def table(name, *made, key=()):
    return Table(name, name, {c.name: c for c in made}, len(made[0].values), key)


MACHINES = table("machines", column("id", [1, 2, 3]), column("site", ["a", "b", "a"]), key=("id",))
READINGS = table(
    "readings",
    column("MachineID", [1, 1, 2, 2, 3, 3]),
    times("at", range(6)),
    column("code", [5] * 6),
)


def test_a_key_and_a_column_of_another_table_are_one_entity():
    assert judge.entities([MACHINES, READINGS]) == [{"machines": "id", "readings": "MachineID"}]


def test_a_foreign_key_ties_names_that_differ():
    owned = table(
        "stops",
        column("where_it_was", [1, 1, 1, 2], refers=("machines", "id")),
        times("at", range(4)),
    )
    assert judge.entities([MACHINES, owned])[0] == {"machines": "id", "stops": "where_it_was"}


def test_rows_that_repeat_nothing_are_about_their_own_key():
    batches = table("batches", column("batch", [1, 2, 3]), times("at", range(3)), key=("batch",))
    assert judge.entities([batches]) == [{"batches": "batch"}]


def test_no_entity_where_no_column_names_one():
    assert judge.entities([table("t", column("x", [1.0, 2.0]), times("at", range(2)))]) == []


def test_an_entity_is_found_however_it_is_written():
    found = judge.named_entity([MACHINES, READINGS], "machine_id")
    assert found == {"machines": "id", "readings": "MachineID"}
    assert judge.named_entity([MACHINES, READINGS], "code") == {"readings": "code"}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([times("recorded_at", [1, 2]), times("raised_at", [0, 1])], ("raised_at", "recorded_at")),
        # An entry before the event isn't when the event was known.
        ([times("raised_at", [1, 2]), times("recorded_at", [0, 3])], ("raised_at", None)),
        ([times("observed_at", [0, 1]), times("horizon_at", [24, 25])], ("observed_at", None)),
        ([times("opened_at", [0, 1]), times("closed_at", [5, None])], ("opened_at", "closed_at")),
        ([times("repaired", [None, 1]), times("day", [0, 1])], ("day", None)),
    ],
)
def test_when_it_happened_and_when_it_was_known(made, expected):
    found = judge.times_of(table("t", *made))
    assert (found.time, found.known_at) == expected


def test_a_told_time_goes_before_what_names_say():
    made = table("t", times("raised_at", [0, 1]), times("recorded_at", [1, 2]))
    assert judge.times_of(made, "recorded_at").time == "recorded_at"


@pytest.mark.parametrize(
    ("name", "interval", "regular", "role"),
    [
        ("values", "15m", True, "telemetry"),
        ("sensor_log", "1h", False, "telemetry"),
        ("values", "24h", True, "observations"),
        ("daily_report", "1h", True, "observations"),
        ("stops", "15m", False, "events"),
    ],
)
def test_parts_of_tables(name, interval, regular, role):
    made = table(name, column("machine", [1, 1]), times("at", [0, 1]), column("x", [1.0, 2.0]))
    course = Course(0, 1, 1, parse_duration(interval), regular)
    assert judge.role_of(made, course) == role


def test_the_rate_is_the_median_gap():
    even = pa.array([DAY0 + n * HOUR for n in range(30)])
    assert course_of(0, 1, 1, even) == Course(0, 1, 1, HOUR, True)
    uneven = pa.array([DAY0 + n * n * HOUR for n in range(30)])
    assert not course_of(0, 1, 1, uneven).regular
    assert course_of(0, 1, 1, pa.array([], pa.int64())).interval == 0


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("ts", 1_735_689_600, "s"),
        ("event_time", 1_735_689_600_000, "ms"),
        ("created_at", 1_735_689_600_000_000, "us"),
        ("ts", 17, None),
        ("count", 1_735_689_600, None),
    ],
)
def test_numbers_that_are_times(name, value, unit):
    assert epoch_unit(name, pa.array([value])) == unit


@pytest.mark.parametrize(
    ("made", "use", "why"),
    [
        (column("load", [0.5, 0.7]), "numeric", "float"),
        (column("critical", [True, False]), "numeric", "bool"),
        (column("model", ["a", "b", "a"]), "categorical", "text, 2 values"),
        (column("line", [1, 2, 1]), "categorical", "numbers that stand for 2 kinds"),
        (column("machine_id", list(range(99))), "", "an id"),
        (column("count", list(range(99))), "", "all distinct"),
        (column("owner", [1, 2, 1], refers=("people", "id")), "", "an id: refers to people"),
        (column("maker", ["x", "x"]), "", "constant: always x"),
        (column("note", ["some words " * 9, "other words " * 9] * 2), "", "free text"),
        (column("remark", [f"r{n}" for n in range(99)]), "", "nearly every row has its own"),
        (column("config", ["{}", "[]"], declared="JSONB"), "", "JSON"),
        (column("empty", [None, None], "float"), "", "no value"),
        (times("at", [0, 1]), "", "a time"),
        (Column("shape", None, pa.nulls(2), "GEOMETRY"), "", "of type geometry"),
    ],
)
def test_what_a_column_is_used_as(made, use, why):
    found, told = columns.feature(table("t", made), made)
    assert found == use
    assert why in told


def test_columns_that_give_the_label_away():
    quality = column("quality", ["A", "B", "C"] * 20)
    assert "other words" in columns.leak(quality, column("code", [1, 2, 3] * 20))
    assert "some classes" in columns.leak(quality, column("scrap", ["x", None, None] * 20))
    assert not columns.leak(quality, column("shift", ["x", "y", None, None] * 15))
    sales = column("sales", [float(n * n) for n in range(60)])
    assert "follows" in columns.leak(sales, column("tax", [0.19 * n * n + 3 for n in range(60)]))
    assert not columns.leak(sales, column("day", [float(n) for n in range(60)]))


def test_too_few_rows_prove_no_leak():
    assert not columns.leak(column("fails", [0, 1]), column("x", [0, 1]))


@pytest.mark.parametrize(
    ("made", "counted", "task"),
    [
        (column("y", [0, 1]), {0: 90, 1: 10}, "binary"),
        (column("y", [True, False]), {True: 1, False: 9}, "binary"),
        (column("y", [0.0, 1.0]), {0.0: 1, 1.0: 9}, "binary"),
        (column("y", ["a", "b"]), {"a": 1, "b": 1}, "multiclass"),
        (column("y", [1, 2, 3]), {1: 1, 2: 1, 3: 1}, "multiclass"),
        (column("y", [1, 2, 3]), dict.fromkeys(range(30), 1), "regression"),
        (column("y", [1.5, 2.5]), {1.5: 1, 2.5: 1}, "regression"),
        (column("y", [1, 1]), {1: 2}, None),
        (column("y", ["a"]), {str(n): 1 for n in range(51)}, None),
    ],
)
def test_the_task_follows_from_type_and_cardinality(made, counted, task):
    assert labels.task_of(made, counted) == task


@pytest.mark.parametrize(
    ("name", "horizon"),
    [
        ("fails_within_24h", "24h"),
        ("stops_next_7_days", "7d"),
        ("within30min", "30m"),
        ("quality", "0s"),
        ("in_place", "0s"),
    ],
)
def test_a_labels_name_may_tell_its_horizon(name, horizon):
    assert labels.horizon_in(name) == parse_duration(horizon)

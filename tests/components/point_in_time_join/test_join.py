"""The whole join as a plain function: against a slow reference, against leaks, and its errors."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.errors import DataError
from components.point_in_time_join.join import join

DAY = 86_400_000_000
HOUR = DAY // 24


def rows_of(table):
    return table.to_pylist()


def with_column(table, name, values):
    index = table.column_names.index(name)
    return table.set_column(index, name, pa.chunked_array([pa.array(values)]))


def test_each_feature_is_what_a_reader_of_the_tables_would_find(plant):
    plant.spine = plant.spine.slice(0, 300)
    joined = rows_of(join(plant.spine, plant.tables, plant.parsed()))
    errors, telemetry = rows_of(plant.errors), rows_of(plant.telemetry)
    models = {row["machine_id"]: row["model"] for row in rows_of(plant.machines)}
    for row, observed in zip(joined, rows_of(plant.spine), strict=True):
        machine, now = observed["machine_id"], observed["observed_at"]
        seen = [
            e
            for e in errors
            if e["machine_id"] == machine
            and now - DAY < e["raised_at"] <= now
            and e["recorded_at"] <= now
        ]
        latest = max(
            (t for t in telemetry if t["machine_id"] == machine and t["known_at"] <= now),
            key=lambda t: t["time"],
        )
        assert row == {
            **observed,
            "errors_code_count_24h": len(seen),
            "errors_severity_max_24h": max((e["severity"] for e in seen), default=None),
            "machines_model": models[machine],
            "telemetry_temperature_mean_3h": latest["temperature_mean_3h"],
        }


def test_what_happened_after_the_observation_does_not_show(plant):
    now = plant.spine["observed_at"][0].as_py()
    leak = {
        "machine_id": [0, 0],
        "raised_at": [now + 1, now - HOUR],
        "recorded_at": [now + 1, now + 1],  # the second: happened before, became known after
        "code": [b"LEAK", b"LEAK"],
        "severity": [99, 99],
    }
    plant.errors = pa.concat_tables([plant.errors, pa.table(leak, schema=plant.errors.schema)])
    before = join(
        plant.spine.slice(0, 1),
        {**plant.tables, "errors": {"all": plant.errors[:-2]}},
        plant.parsed(),
    )
    after = join(plant.spine.slice(0, 1), plant.tables, plant.parsed())
    assert after.equals(before)
    # A microsecond later both are known: the test does see a leak where there is one.
    later = with_column(plant.spine.slice(0, 1), "observed_at", [now + 1])
    assert join(later, plant.tables, plant.parsed())["errors_severity_max_24h"].to_pylist() == [99]


def test_a_window_whose_readings_came_late_does_not_show(plant):
    observation = plant.spine.slice(600, 1)
    now = observation["observed_at"][0].as_py()
    machine = observation["machine_id"][0].as_py()
    leak = pa.table(
        {
            "machine_id": [machine, machine],
            "time": [now, now + HOUR],
            "known_at": [now + 1, now + HOUR],
            "temperature_mean_3h": [999.0, 998.0],
        },
        schema=plant.telemetry.schema,
    )
    plant.telemetry = pa.concat_tables([plant.telemetry, leak])
    joined = join(observation, plant.tables, plant.parsed())
    assert joined["telemetry_temperature_mean_3h"][0].as_py() < 100
    late = with_column(observation, "observed_at", [now + HOUR])
    joined = join(late, plant.tables, plant.parsed())
    assert joined["telemetry_temperature_mean_3h"][0].as_py() == 998


def test_no_feature_changes_when_the_future_does(plant):
    """Whatever is written into the future, features of the past stay as they are."""
    settings, cut = plant.parsed(), plant.spine["observed_at"][700].as_py()
    past = plant.spine.filter(pa.array(np.asarray(plant.spine["observed_at"]) <= cut))
    before = join(past, plant.tables, settings)

    def scrambled(table, times, known, columns):
        future = np.maximum(np.asarray(table[times]), np.asarray(table[known or times])) > cut
        assert future.any()
        for name in columns:
            values = np.where(future, 77, np.asarray(table[name]))
            table = with_column(table, name, values)
        return table

    tables = {
        "errors": {"all": scrambled(plant.errors, "raised_at", "recorded_at", ["severity"])},
        "machines": {"all": plant.machines},
        "telemetry": {
            "every_1h": scrambled(plant.telemetry, "time", "known_at", ["temperature_mean_3h"])
        },
    }
    assert join(past, tables, settings).equals(before)


@pytest.mark.parametrize("where", ["latest row", "window"])
def test_the_label_is_refused_as_a_feature(plant, where):
    if where == "latest row":
        plant.machines = plant.machines.append_column("fails", pa.array(np.ones(12)))
        source = "machines"
    else:
        plant.errors = plant.errors.append_column("fails", pa.array(np.ones(800)))
        plant.settings["sources"]["errors"]["windows"][0]["aggregate"]["fails"] = ["sum"]
        source = "errors"
    with pytest.raises(DataError) as caught:
        join(plant.spine, plant.tables, plant.parsed())
    assert str(caught.value) == (
        f"{source}: column 'fails': it has the label's name: joined, it would tell the model what "
        "it is to predict. Leave it out of the query; if it holds only what was known by its time, "
        "name it otherwise"
    )


def test_tolerance_bounds_the_age(plant):
    plant.settings["sources"]["machines"]["tolerance"] = "399d"
    joined = join(plant.spine, plant.tables, plant.parsed())
    young = np.asarray(plant.spine["observed_at"]) <= plant.machines["since"][0].as_py() + 399 * DAY
    assert np.asarray(joined["machines_model"].is_valid()).tolist() == young.tolist()
    assert young.any()
    assert not young.all()


def test_a_sensor_window_two_steps_old_is_joined_and_an_older_one_is_not(plant):
    observation = plant.spine.slice(600, 1)
    now, machine = observation["observed_at"][0].as_py(), observation["machine_id"][0].as_py()
    for age, expected in ((2 * HOUR, 5.0), (2 * HOUR + 1, None)):
        plant.telemetry = pa.table(
            {
                "machine_id": [machine],
                "time": [now - age],
                "known_at": [now - age],
                "temperature_mean_3h": [5.0],
            }
        )
        joined = join(observation, plant.tables, plant.parsed())
        assert joined["telemetry_temperature_mean_3h"].to_pylist() == [expected]


def test_rows_without_entity_or_time_are_not_joined(plant):
    one = plant.spine.slice(600, 1)
    now, machine = one["observed_at"][0].as_py(), one["machine_id"][0].as_py()
    plant.errors = pa.table(
        {
            "machine_id": pa.array([machine, None, machine, machine], pa.int64()),
            "raised_at": pa.array([now, now, None, now], pa.int64()),
            "recorded_at": pa.array([now, now, now, None], pa.int64()),
            "code": [b"E"] * 4,
            "severity": [1, 2, 3, 4],
        }
    )
    joined = join(one, plant.tables, plant.parsed())
    assert joined["errors_code_count_24h"].to_pylist() == [1]


def test_an_unknown_entity_has_no_events_and_the_rest_is_missing(plant):
    one = with_column(plant.spine.slice(600, 1), "machine_id", [999])
    row = rows_of(join(one, plant.tables, plant.parsed()))[0]
    assert row["errors_code_count_24h"] == 0
    assert row["errors_severity_max_24h"] is None
    assert row["machines_model"] is None
    assert row["telemetry_temperature_mean_3h"] is None


def test_prediction_needs_no_label_and_no_rows(plant):
    one = plant.spine.slice(600, 1).drop(["fails"])
    tables = {
        name: {s: t.slice(0, 0) for s, t in parts.items()} for name, parts in plant.tables.items()
    }
    assert rows_of(join(one, tables, plant.parsed()))[0]["errors_code_count_24h"] == 0


def test_text_and_bytes_are_one_and_the_same(plant):
    def named(table, kind):
        texts = pa.array([str(v) for v in table["machine_id"].to_pylist()], kind)
        return table.set_column(table.column_names.index("machine_id"), "machine_id", texts)

    expected = join(plant.spine, plant.tables, plant.parsed())
    plant.spine = named(plant.spine, pa.string())
    plant.errors = named(plant.errors, pa.binary())
    plant.machines = named(plant.machines, pa.large_string())
    plant.telemetry = named(plant.telemetry, pa.large_binary())
    joined = join(plant.spine, plant.tables, plant.parsed())
    assert joined.drop(["machine_id"]).equals(expected.drop(["machine_id"]))


def test_numbers_here_and_text_there_are_refused(plant):
    plant.machines = with_column(plant.machines, "machine_id", [f"{i}" for i in range(12)])
    with pytest.raises(DataError) as caught:
        join(plant.spine, plant.tables, plant.parsed())
    assert str(caught.value) == (
        "machines: entity column 'machine_id' is '0': expected a whole number, as "
        "observations.machine_id is. Write entities in one type on both sides: cast them in the "
        "SQL query, or set the SQL source's types: {machine_id: int}"
    )


def test_entities_that_are_no_identifiers_are_refused(plant):
    plant.machines = with_column(plant.machines, "machine_id", np.arange(12) + 0.5)
    with pytest.raises(DataError) as caught:
        join(plant.spine, plant.tables, plant.parsed())
    assert str(caught.value) == (
        "machines: entity column 'machine_id' is 0.5: expected whole numbers or text, found "
        "double. Cast it in the query or, in a SQL source, set types: {machine_id: int} or "
        "{machine_id: text}"
    )


def test_a_time_that_is_text_is_refused(plant):
    plant.machines = with_column(plant.machines, "since", ["2024-01-01"] * 12)
    with pytest.raises(DataError) as caught:
        join(plant.spine, plant.tables, plant.parsed())
    assert str(caught.value) == (
        "machines: time column 'since' is '2024-01-01': expected a time, found string. In a SQL "
        "source set types: {since: time}, or cast it in the query"
    )


def test_text_has_no_mean(plant):
    plant.settings["sources"]["errors"]["windows"][0]["aggregate"]["code"] = ["count", "mean"]
    with pytest.raises(DataError) as caught:
        join(plant.spine, plant.tables, plant.parsed())
    assert str(caught.value) == (
        "errors: windows: 'mean' of column 'code' is 'E1': expected numbers, found text. Of such a "
        "column windows can tell count and age; or let the query give it as a number"
    )


def test_a_missing_column_is_named_beside_those_there(plant):
    plant.settings["sources"]["errors"]["windows"][0]["aggregate"] = {"codes": ["count"]}
    with pytest.raises(DataError) as caught:
        join(plant.spine, plant.tables, plant.parsed())
    assert str(caught.value) == (
        "errors: column 'codes': no row has it. Let the query give it, or name one of its columns: "
        "code, machine_id, raised_at, recorded_at, severity"
    )


def test_two_columns_of_one_name_are_refused(plant):
    plant.spine = plant.spine.rename_columns(
        ["machine_id", "observed_at", "fails", "machines_model"]
    )
    with pytest.raises(DataError) as caught:
        join(plant.spine, plant.tables, plant.parsed())
    assert str(caught.value) == (
        "machines: column 'model': it becomes 'machines_model', and a column of that name is there "
        "already. Name one of the two otherwise in its query"
    )


def test_a_split_that_no_sensor_makes_is_refused(plant):
    with pytest.raises(DataError, match="telemetry: split is 'hourly': expected a name such as"):
        join(plant.spine, {"telemetry": {"hourly": plant.telemetry}}, plant.parsed())


def test_the_join_is_imported_without_beam_tfx_and_tensorflow():
    import subprocess

    code = (
        "import sys, components.point_in_time_join.join; "
        "print([m for m in ('tensorflow', 'tfx', 'apache_beam', 'tfx_bsl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

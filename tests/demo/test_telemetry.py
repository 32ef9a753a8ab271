"""What lies in the sensor files is what the truth says of them, counted by another reader."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest

CHANNELS = ("temperature", "vibration", "pressure", "rotation")
HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def sent(plant):
    """Arrays of the well-formed rows, with the device's clock put right and copies marked."""
    machine = plant.column("machine_id").astype(np.int64)
    gateway = plant.column("gateway").astype(str)
    clock = np.where(gateway == "gateway-3", 90_000_000, 0)
    time = plant.times("ts") - clock
    values = np.array([[row.get(c) for c in CHANNELS] for row in plant.rows], dtype=np.float64)
    key = machine * (1 << 52) + time - time.min()
    first = np.zeros(len(key), dtype=bool)
    first[np.unique(key, return_index=True)[1]] = True
    return {
        "machine": machine,
        "gateway": gateway,
        "time": time,
        "received": plant.times("received_at"),
        "values": values,
        "unit": plant.column("temperature_unit").astype(str),
        "key": key,
        "first": first,
    }


def test_every_format_is_there_and_readable(plant):
    suffixes = {p.suffix for p in (plant.directory / "telemetry").rglob("*.*")}
    assert suffixes == {".jsonl", ".csv", ".parquet"}
    assert len(plant.rows) + len(plant.malformed) == plant.summary.lines


def test_every_fault_has_happened(plant):
    faults = plant.summary.faults
    assert all(faults[kind] > 0 for kind in faults), faults
    assert json.loads((plant.directory / "truth" / "faults.json").read_text())["counts"] == faults


def test_duplicates(plant, sent):
    assert np.sum(~sent["first"]) == plant.summary.faults["duplicate"]


def test_malformed_lines_stand_where_the_truth_says(plant):
    table = plant.truth("faults")
    table = table.filter(pc.starts_with(table["kind"], "malformed"))
    told = list(zip(table["file"].to_pylist(), table["line"].to_pylist(), strict=True))
    assert sorted(told) == sorted(plant.malformed)
    kinds = ("malformed_truncated", "malformed_field_count", "malformed_bad_number")
    assert len(told) == sum(plant.summary.faults[kind] for kind in kinds)


def test_missing_and_out_of_range_values(plant, sent):
    values = sent["values"][sent["first"]]
    assert np.isnan(values).sum() == plant.summary.faults["missing"]
    absurd = np.isin(values, [9999.0, -999.0])
    assert absurd.sum() == plant.summary.faults["out_of_range"]
    assert 0 < plant.absent_keys < plant.summary.faults["missing"]


def test_late_and_out_of_order(plant, sent):
    first = sent["first"]
    machine, time, received = (sent[k][first] for k in ("machine", "time", "received"))
    assert np.sum(received - time > 2 * HOUR) == plant.summary.faults["late"]
    assert np.all(received > time)
    overtaken = 0
    for number in np.unique(machine):
        # Rows were read file by file, and a gateway's files sort by time of receipt.
        own = time[machine == number]
        overtaken += np.sum(own < np.maximum.accumulate(own))
    assert overtaken == plant.summary.faults["out_of_order"]


def test_units_change_on_one_gateway_at_one_time(plant, sent):
    change = json.loads((plant.directory / "truth" / "faults.json").read_text())["unit_change"]
    at = np.datetime64(change["at"].rstrip("Z"), "us").astype(np.int64)
    fahrenheit = sent["unit"] == "degF"
    should = (sent["gateway"] == change["gateway"]) & (sent["time"] >= at)
    np.testing.assert_array_equal(fahrenheit, should)
    assert np.sum(fahrenheit & sent["first"]) == plant.summary.faults["unit_changed"]


def test_what_is_not_spoiled_is_the_clean_reading(plant, sent):
    clean = plant.truth("readings")
    clean_time = clean["time"].cast("int64").to_numpy()
    origin = sent["time"].min()
    keys = clean["machine_id"].to_numpy() * (1 << 52) + clean_time - origin
    order = np.argsort(keys)
    place = order[np.searchsorted(keys[order], sent["key"])]
    # The wrong clock, once put right, gives the true time: every reading finds itself.
    np.testing.assert_array_equal(keys[place], sent["key"])
    true = np.column_stack([clean[c].to_numpy() for c in CHANNELS])[place]
    given = sent["values"].copy()
    celsius = np.where(sent["unit"] == "degF", (given[:, 0] - 32) / 1.8, given[:, 0])
    given[:, 0] = celsius
    differs = (np.abs(given - true) > 0.006) & sent["first"][:, None] & ~np.isnan(given)
    spoiled = plant.summary.faults["out_of_range"] + plant.summary.faults["stuck"]
    # A stuck value may by chance be the true one.
    assert 0.98 * spoiled <= differs.sum() <= spoiled


def test_stuck_sensors_repeat_one_value(plant, sent):
    table = plant.truth("faults")
    episodes = table.filter(pc.equal(table["kind"], "stuck_episode")).to_pylist()
    assert sum(e["readings"] for e in episodes) == plant.summary.faults["stuck"]
    longest = max(episodes, key=lambda e: e["readings"])
    begin, end = (
        np.datetime64(longest[k].replace(tzinfo=None), "us").astype(np.int64)
        for k in ("begin", "end")
    )
    rows = (sent["machine"] == longest["machine_id"]) & sent["first"]
    rows &= (sent["time"] >= begin) & (sent["time"] < end) & (sent["unit"] == "degC")
    values = sent["values"][rows, CHANNELS.index(longest["channel"])]
    values = values[~np.isnan(values) & ~np.isin(values, [9999.0, -999.0])]
    assert len(values) == longest["readings"] > 5
    assert len(np.unique(values)) == 1


def test_nothing_comes_from_a_gap(plant, sent):
    table = plant.truth("faults")
    gaps = table.filter(pc.equal(table["kind"], "gap")).to_pylist()
    assert sum(gap["readings"] for gap in gaps) == plant.summary.faults["lost"]
    for gap in gaps:
        begin, end = (
            np.datetime64(gap[k].replace(tzinfo=None), "us").astype(np.int64)
            for k in ("begin", "end")
        )
        inside = (sent["machine"] == gap["machine_id"]) & (sent["time"] >= begin)
        assert not np.any(inside & (sent["time"] < end))
    lost = plant.summary.readings - np.sum(sent["first"]) - len(plant.malformed)
    assert lost == plant.summary.faults["lost"]


def test_readings_come_at_irregular_times_about_every_quarter_hour(sent):
    own = np.sort(sent["time"][(sent["machine"] == 1) & sent["first"]])
    steps = np.diff(own) / 60e6
    assert np.median(steps) == pytest.approx(15, rel=0.1)
    assert 2 < np.std(steps[steps < 60]) < 8

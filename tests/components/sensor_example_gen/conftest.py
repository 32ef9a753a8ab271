"""Small sensor sources, and a slow reference that treats one reading after another."""

import collections
import datetime
import json
import math
import types

import pytest

from components.ingest.durations import format_duration, parse_instant
from components.ingest.sensor.features import sensor_windows
from components.ingest.sensor.source import SensorSource

BEGIN = parse_instant("2025-03-01T00:00:00Z")
END = parse_instant("2025-03-02T00:00:00Z")
SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
ALL = ["count", "sum", "mean", "std", "min", "max", "first", "last", "slope", "age", "missing"]


def iso(instant: int) -> str:
    moment = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    return (moment + datetime.timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")


def make_source(path, **changes) -> SensorSource:
    settings = {
        "kind": "sensor",
        "path": path if isinstance(path, list) else str(path),
        "entity": "machine",
        "time": {"column": "ts"},
        "channels": {"temperature": {}, "pressure": {}},
        "windows": [{"size": "3h", "every": "1h", "aggregate": ["mean", "count"]}],
        "max_rejected": 1,
    }
    return SensorSource.model_validate(settings | changes)


def write_jsonl(path, rows) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def run(tmp_path):
    """Writes rows to a JSONL file and windows them."""

    def call(rows, begin=BEGIN, end=END, bucket_bytes=1 << 25, **changes):
        write_jsonl(tmp_path / "a.jsonl", rows)
        source = make_source(tmp_path / "*.jsonl", **changes)
        return sensor_windows("telemetry", source, begin, end, bucket_bytes)

    return call


def quarantined(result, *columns):
    columns = columns or ("line", "reason", "channel")
    return sorted(
        (tuple(row[c] for c in columns) for row in result.quarantine.to_pylist()), key=str
    )


def check_identity(result) -> None:
    counts = result.report["readings"]
    parts = ("used", "missing", "ignored", "outside", "rejected")
    assert counts["read"] == sum(counts[part] for part in parts), counts
    told = collections.Counter()
    for row in result.quarantine.to_pylist():
        told[row["reason"]] += row["readings"]
    assert dict(told) == {
        reason: found["readings"] for reason, found in result.report["rejected"].items()
    }
    by_file = collections.Counter()
    for file in result.report["by_file"].values():
        assert file["read"] == sum(count for key, count in file.items() if key != "read")
        by_file.update(file)
    assert by_file["used"] == counts["used"] and by_file["read"] == counts["read"]
    assert sum(c["used"] for c in result.report["channels"].values()) == counts["used"]


def slow_reference(rows, source, begin, end):
    """What becomes of clean-typed rows: dictionaries of machine, ts, received (int) and channels.

    Returns:
      By split a dictionary from (entity, end) to a row, and the outcomes' counts.
    """
    counts = collections.Counter()
    series = collections.defaultdict(list)
    low, high = begin - source.lookback, end
    for place, row in enumerate(rows):
        time, received = row["ts"], row.get("received")
        counts["read"] += len(source.channels)
        if not (low <= time <= high) or (received is not None and received > high):
            counts["outside"] += len(source.channels)
            continue
        for name, channel in source.channels.items():
            value = row.get(name)
            if value is None:
                counts["missing"] += 1
            elif not math.isfinite(value):
                counts["not_finite"] += 1
            elif channel.range and not channel.range[0] <= value <= channel.range[1]:
                counts["out_of_range"] += 1
            elif received is not None and time - received > 5 * MINUTE:
                counts["future"] += 1
            elif (
                received is not None
                and source.max_lateness is not None
                and received - time > source.max_lateness
            ):
                counts["late"] += 1
            else:
                arrival = (time if received is None else received, place)
                series[name, row["machine"]].append((time, arrival, value))
    kept = {}
    for (name, entity), readings in series.items():
        best = {}
        for time, arrival, value in readings:
            if time not in best:
                best[time] = (arrival, value)
                continue
            counts["duplicate"] += 1
            better = min if source.keep == "first" else max
            best[time] = better(best[time], (arrival, value))
        ordered = [(t, arrival[0], value) for t, (arrival, value) in sorted(best.items())]
        clean, began, before = [], None, None
        for reading in ordered:
            if before is None or reading[2] != before:
                began, before = reading[0], reading[2]
            limit = source.channels[name].stuck
            if limit is not None and reading[0] - began > limit:
                counts["stuck"] += 1
            else:
                clean.append(reading)
        counts["used"] += len(clean)
        if clean:
            kept[name, entity] = clean
    return {
        f"every_{format_duration(step)}": _slow_split(kept, source, step, begin, end)
        for step in {w.step for w in source.windows}
    }, counts


def _slow_split(kept, source, step, begin, end):
    windows = [w for w in source.windows if w.step == step]
    stay = max([w.size for w in windows] + [source.fill or 0])
    lowest = begin - max(w.step for w in source.windows) - (source.tolerance or 0)
    rows = {}
    for entity in {entity for _, entity in kept}:
        mine = {n: kept.get((n, entity), []) for n in source.channels}
        times = [r[0] for readings in mine.values() for r in readings]
        for grid in range(lowest // step, end // step + 1):
            instant = grid * step
            if not lowest <= instant <= end or not min(times) <= instant <= max(times) + stay:
                continue
            row = {"known_at": instant}
            for window in windows:
                for name, readings in mine.items():
                    inside = [r for r in readings if instant - window.size < r[0] <= instant]
                    received = [r[1] for r in inside]
                    found = _slow_aggregates(inside, instant, window.size)
                    interval = source.channels[name].interval or source.interval
                    if interval:
                        found["missing"] = 1 - min(1, len(inside) * interval / window.size)
                    past = [r for r in readings if r[0] <= instant]
                    if not inside and past and source.fill is not None:
                        last = past[-1]
                        if instant - last[0] <= source.fill:
                            for a in ("mean", "min", "max", "first", "last"):
                                found[a] = last[2]
                            if set(window.aggregates(name)) & {
                                "mean",
                                "min",
                                "max",
                                "first",
                                "last",
                            }:
                                received = [last[1]]
                    for a in window.aggregates(name):
                        row[f"{name}_{a}_{format_duration(window.size)}"] = found[a]
                    if window.aggregates(name):
                        row["known_at"] = max([row["known_at"], *received])
            rows[entity, instant] = row
    return rows


def _slow_aggregates(readings, end, size):
    found = dict.fromkeys(ALL)
    values = [r[2] for r in readings]
    found["count"], found["sum"] = float(len(values)), math.fsum(values)
    if not values:
        return found
    mean = math.fsum(values) / len(values)
    found |= {"mean": mean, "min": min(values), "max": max(values)}
    found |= {"first": values[0], "last": values[-1], "age": (end - readings[-1][0]) / HOUR}
    if len(values) > 1:
        found["std"] = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
        hours = [(r[0] - readings[0][0]) / HOUR for r in readings]
        middle = math.fsum(hours) / len(hours)
        squares = math.fsum((h - middle) ** 2 for h in hours)
        found["slope"] = (
            math.fsum((h - middle) * (v - mean) for h, v in zip(hours, values, strict=True))
            / squares
        )
    return found


def check_against_reference(result, rows, source, begin, end) -> None:
    expected, counts = slow_reference(rows, source, begin, end)
    assert set(result.tables) == set(expected)
    for split, wanted in expected.items():
        found = result.tables[split].to_pylist()
        keys = [(row[source.entity], row["time"]) for row in found]
        assert keys == sorted(wanted), split
        for row in found:
            for column, value in wanted[row[source.entity], row["time"]].items():
                if value is None:
                    assert row[column] is None, (column, row)
                else:
                    assert row[column] == pytest.approx(value, rel=1e-9, abs=1e-9), (column, row)
    for outcome in ("read", "used", "missing", "outside"):
        assert result.report["readings"][outcome] == counts[outcome], outcome
    for reason, found in result.report["rejected"].items():
        assert found["readings"] == counts[reason], reason
    assert result.report["readings"]["rejected"] == sum(
        counts[r] for r in counts if r not in ("read", "used", "missing", "outside")
    )
    check_identity(result)


@pytest.fixture(scope="session")
def plain():
    """The functions above, for tests: pytest's importlib mode lets no test import them."""
    return types.SimpleNamespace(
        iso=iso,
        make_source=make_source,
        write_jsonl=write_jsonl,
        quarantined=quarantined,
        check_identity=check_identity,
        check_against_reference=check_against_reference,
        begin=BEGIN,
        end=END,
    )

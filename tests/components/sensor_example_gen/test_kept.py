"""Kept readings: whatever happens to files between runs, the result is that of a whole read."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.sensor.features import bucket_windows, prepare, sensor_windows
from components.ingest.sensor.kept import KeptReadings, name_of
from components.ingest.sensor.quality import quality_report
from components.ingest.sensor.quarantine import QUARANTINE
from components.ingest.sensor.tally import Tally

HOUR = 3_600_000_000
DAY = 24 * HOUR


class Plant:
    """A folder with a JSONL file a day, some of whose lines are unfit."""

    def __init__(self, plain, folder, **settings):
        self.plain = plain
        self.folder = folder
        self.clock = 0
        self.source = plain.make_source(
            folder / "*.jsonl",
            time={"column": "ts", "received_at": "received"},
            channels={"temperature": {"range": [0, 85], "stuck": "4h"}, "pressure": {}},
            windows=[{"size": "6h", "every": "1h", "aggregate": ["mean", "last", "count"]}],
            fill="8h",
            max_lateness="30h",
            incremental={"directory": str(folder / "kept")},
            **settings,
        )

    def write(self, day: int, random, rows: int = 40) -> None:
        """A day's file; some readings are of the days around, some were received much later."""
        lines = []
        for _ in range(rows):
            time = self.plain.begin + day * DAY + int(random.normal(0.5, 0.2) * DAY)
            delay = int(random.exponential(HOUR)) if random.random() < 0.9 else 40 * HOUR
            row = {
                "machine": f"m{random.integers(3)}",
                "ts": self.plain.iso(time),
                "received": self.plain.iso(time + delay),
                "temperature": float(random.integers(-5, 95)),
                "pressure": None if random.random() < 0.2 else float(random.normal()),
            }
            unfit = random.random()
            if unfit < 0.05:
                del row["machine"]
            lines.append("{" if 0.05 < unfit < 0.1 else row)
        path = self.folder / f"{day:03d}.jsonl"
        self.plain.write_jsonl(path, lines)
        self.touch(path)

    def touch(self, path) -> None:
        """A file system may tell seconds only."""
        self.clock += 1
        os.utime(path, (self.clock, self.clock))

    def read(self, begin: int, end: int):
        """The windows, quarantine and report from kept readings, and the files that were read."""
        job = prepare("telemetry", self.source, begin, end)
        store, tally, rejected, readings = KeptReadings(job.plan), Tally(), [], []
        kept = store.load(job.plan, job.parts)
        for part in job.parts:
            if name_of(part) in kept:
                readings += store.take(part, kept[name_of(part)], tally, rejected.extend)
            else:
                readings += store.clean(job, part, tally, rejected.extend)
        store.prune(job.plan, job.parts, kept)
        table = pa.Table.from_batches(readings, schema=job.plan.schema)
        windows = dict(bucket_windows(job, table, tally, rejected.extend))
        report = quality_report(tally, job.files, job.clocks, job.seen.lacking)
        quarantine = pa.concat_tables([QUARANTINE.empty_table(), *rejected])
        read = [int(Path(part.path).stem) for part in job.parts if name_of(part) not in kept]
        return windows, report, rows(quarantine), read

    def check(self, begin: int, end: int) -> list[int]:
        """Compares with a whole read; gives the files that were read."""
        whole = sensor_windows("telemetry", self.source, begin, end)
        windows, report, quarantine, read = self.read(begin, end)
        assert windows == whole.tables
        assert report == whole.report
        assert quarantine == rows(whole.quarantine)
        return read


def rows(table: pa.Table) -> list[str]:
    return sorted(json.dumps(row) for row in table.to_pylist())


@pytest.fixture
def plant(plain, tmp_path):
    return Plant(plain, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_any_sequence_of_changes_and_runs_gives_what_a_whole_read_gives(plain, plant, seed):
    random = np.random.default_rng(seed)
    for day in range(8):
        plant.write(day, random)
    begin, end = plain.begin + 3 * DAY, plain.begin + 6 * DAY
    newest = 8
    for _ in range(10):
        for _ in range(random.integers(3)):
            what = random.integers(3)
            if what == 0:
                plant.write(newest, random)
                newest += 1
            elif what == 1:
                plant.write(int(random.integers(newest)), random)
            else:
                (plant.folder / f"{random.integers(newest):03d}.jsonl").unlink(missing_ok=True)
        if random.random() < 0.7:
            step = int(random.normal(0.5, 1) * DAY)
            begin, end = begin + step, end + step
        plant.check(begin, end)
        assert plant.check(begin, end) == []


def test_only_new_and_changed_files_are_read(plain, plant):
    random = np.random.default_rng(5)
    for day in range(12):
        plant.write(day, random)
    begin, end = plain.begin + 5 * DAY, plain.begin + 8 * DAY
    assert plant.check(begin, end) == list(range(12))
    assert plant.check(begin, end) == []
    plant.write(6, random)
    assert plant.check(begin, end) == [6]
    moved = plant.check(begin + DAY, end + DAY)
    # Those with readings from before its begin, or received after its end, then or now.
    assert set(moved) <= {4, 5, 6, 7, 8, 9} and 8 in moved
    assert plant.check(begin + DAY, end + DAY) == []


def test_a_file_that_is_put_before_the_others_moves_them(plain, plant):
    """Duplicates are settled by the order of files."""
    random = np.random.default_rng(7)
    for day in (1, 2, 3):
        plant.write(day, random)
    copy = (plant.folder / "002.jsonl").read_text()
    begin, end = plain.begin - 9 * DAY, plain.begin + 9 * DAY
    assert plant.check(begin, end) == [1, 2, 3]
    path = plant.folder / "000.jsonl"
    path.write_text(copy.replace('"pressure": ', '"pressure": 1'))
    plant.touch(path)
    assert plant.check(begin, end) == [0]


def test_long_files_and_those_of_another_format_are_kept_too(plain, tmp_path):
    random = np.random.default_rng(3)
    changes = {"layout": "long", "channel": "sensor", "value": "reading"}
    plant = Plant(plain, tmp_path, **changes)
    for day in range(4):
        times = (plain.begin + day * DAY + np.arange(60) * DAY // 60).tolist()
        held = [
            f"{'temperature' if i % 3 else 'other'},m{i % 2},{plain.iso(t)},"
            f"{plain.iso(t + HOUR)},{random.integers(99)}\n"
            for i, t in enumerate(times)
        ]
        text = "sensor,machine,ts,received,reading\n" + "".join(held)
        (tmp_path / f"{day:03d}.csv").write_text(text)
    plant.source = plant.source.model_copy(update={"path": str(tmp_path / "*.csv")})
    begin, end = plain.begin + DAY, plain.begin + 3 * DAY

    assert plant.check(begin, end) == [0, 1, 2, 3]
    assert plant.check(begin, end) == []


def test_readings_long_before_a_run_go(plain, plant):
    plant.source = plant.source.model_copy(
        update={"incremental": plant.source.incremental.model_copy(update={"keep": DAY})}
    )
    random = np.random.default_rng(1)
    for day in range(6):
        plant.write(day, random)
    begin, end = plain.begin, plain.begin + 6 * DAY
    plant.check(begin, end)
    assert len(list((plant.folder / "kept").rglob("*.json"))) == 6
    later = begin + 5 * DAY, end + 5 * DAY
    assert len(plant.check(*later)) <= 2
    gone = 6 - len(list((plant.folder / "kept").rglob("*.json")))
    assert gone >= 2
    # What they are now, readings outside of the run, is kept without them.
    assert len(plant.check(*later)) == gone
    assert plant.check(*later) == []


def test_other_units_are_other_readings(plain, plant):
    plant.write(0, np.random.default_rng(1))
    begin, end = plain.begin - DAY, plain.begin + 2 * DAY
    assert plant.check(begin, end) == [0]
    channels = {**plant.source.channels}
    channels["temperature"] = channels["temperature"].model_copy(update={"range": (0.0, 50.0)})
    plant.source = plant.source.model_copy(update={"channels": channels})
    assert plant.check(begin, end) == [0]
    plant.source = plant.source.model_copy(update={"max_gap": HOUR, "keep": "last"})
    assert plant.check(begin, end) == []

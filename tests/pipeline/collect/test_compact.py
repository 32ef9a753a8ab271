"""Small files become few, and whoever reads meanwhile, or after a kill, finds each reading once."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.ingest.durations import parse_instant
from components.ingest.errors import DataError
from components.ingest.sensor.features import clean_parts, prepare, sensor_windows
from components.ingest.sensor.files import find_files
from components.ingest.sensor.tally import Tally
from pipeline.collect import compact as compaction
from pipeline.collect import landing
from pipeline.collect.compact import Compacted, compact
from pipeline.collect.messages import StreamError
from pipeline.collect.readings import Reader
from pipeline.settings.collect import Compact
from tests.pipeline.collect.conftest import landed, messages, reading, sensor_source, stream
from tests.pipeline.collect.process import ROOT, settings_text

BEGIN, END = parse_instant("2025-03-01"), parse_instant("2025-03-02")
HOUR = 3600
NIGHT = END - HOUR * 1_000_000
# The end of the day of the readings, and the moments from which its files become few and go.
OVER = END / 1e6
NOW = OVER + 25 * HOUR
SETTINGS = Compact()


def land(folder: Path, *rows: dict) -> None:
    """Lands readings as a collector does: a file for each day and gateway."""
    parsed = Reader(sensor_source(), stream()).read(messages(*rows, arrived=NIGHT))
    for kind, table, time in (
        (landing.READINGS, parsed.readings, "ts"),
        (landing.REJECTED, parsed.rejected, "arrived"),
    ):
        if len(table):
            source = "gateway" if kind == landing.READINGS else None
            for place, part in landing.partitions(folder / kind, table, time, source):
                landing.land(place, part)


def fill(folder: Path) -> None:
    """Files of two gateways; of a reading that comes twice the later one's value counts."""
    for minute in range(0, 120, 20):
        land(folder, *(reading(m, gateway=f"g{m % 2}") for m in range(minute, minute + 20)))
    land(folder, reading(0, gateway="g0", temperature=-1.0), b"{cut off")
    land(folder, reading(1, gateway="g1"), b"{cut off")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.parquet"))


def source(folder: Path):
    return sensor_source(folder / "readings/**/*.parquet", keep="last")


def windows(folder: Path):
    return sensor_windows("telemetry", source(folder), BEGIN, END)


def sized(folder: Path) -> list[int]:
    """How many readings are in each of the files that count."""
    return [pq.read_metadata(p).num_rows for p in find_files("telemetry", source(folder))]


def test_few_files_say_the_same(tmp_path):
    fill(tmp_path)
    before = windows(tmp_path)
    assert compact(tmp_path, SETTINGS, NOW) == Compacted(16, 3, 0)
    assert sized(tmp_path) == [61, 61]
    after = windows(tmp_path)
    assert after.tables["every_1h"].num_rows > 2
    assert after.tables["every_1h"].equals(before.tables["every_1h"])
    for outcome in ("read", "used", "duplicate"):
        assert after.tally.total(outcome) == before.tally.total(outcome)
    assert compact(tmp_path, SETTINGS, NOW) == Compacted(0, 0, 0)


def test_what_was_rejected_becomes_few_too(tmp_path):
    fill(tmp_path)
    compact(tmp_path, SETTINGS, NOW)
    assert compact(tmp_path, SETTINGS, NOW * 2) == Compacted(0, 0, 16)
    rejected = landed(tmp_path, "rejected")
    assert [row["payload"] for row in rejected] == [b"{cut off"] * 2
    assert len(names(tmp_path / "rejected")) == 1


@pytest.mark.parametrize(("hours", "expected"), [(23.9, 0), (24.1, 16)])
def test_a_day_has_to_be_over_for_some_time(tmp_path, hours, expected):
    fill(tmp_path)
    assert compact(tmp_path, SETTINGS, OVER + hours * HOUR).files == expected


def test_late_readings_join_what_was_compacted(tmp_path):
    fill(tmp_path)
    compact(tmp_path, SETTINGS, NOW)
    land(tmp_path, reading(200, gateway="g0"))
    assert compact(tmp_path, SETTINGS, NOW) == Compacted(2, 1, 0)
    assert sized(tmp_path) == [62, 61]
    assert windows(tmp_path).tally.total("used") == 2 * 121
    # All that stands for another is gone at once, never what is stood for by nothing.
    removed = compact(tmp_path, SETTINGS, NOW * 2).removed
    assert removed == 16 + 2
    assert sized(tmp_path) == [62, 61]
    assert len(names(tmp_path / "readings")) == 2


def test_the_order_of_arrival_stays(tmp_path):
    """Of two readings of a moment that tell no time of receipt the later file's counts."""
    fill(tmp_path)
    compact(tmp_path, SETTINGS, NOW)
    land(tmp_path, reading(0, gateway="g0", temperature=-2.0))
    own = {"time": {"column": "ts"}, "keep": "last"}
    for _ in range(2):
        told = sensor_source(tmp_path / "readings/**/*.parquet", **own)
        result = sensor_windows("telemetry", told, BEGIN, END)
        assert result.tally.ranges["temperature"][0] == -2.0
        compact(tmp_path, SETTINGS, NOW)


def test_files_grow_to_a_size(tmp_path):
    fill(tmp_path)
    of_two = 2.5 * max(path.stat().st_size for path in tmp_path.rglob("*.parquet")) / 1e6
    compact(tmp_path, Compact(megabytes=of_two), NOW)
    assert [count for count in sized(tmp_path) if count > 1] == [20] * 6
    assert sum(sized(tmp_path)) == 122


def test_files_of_other_columns_stay_apart(tmp_path):
    for value in (1.0, 2.0, "off", "on", 3.0):
        land(tmp_path, reading(0, temperature=value))
    assert compact(tmp_path, SETTINGS, NOW) == Compacted(4, 2, 0)
    assert sized(tmp_path) == [2, 2, 1]


def test_files_of_others_are_left_alone(tmp_path):
    fill(tmp_path)
    own = next((tmp_path / "readings").rglob("source=g0")) / "history.parquet"
    shutil.copy(min(own.parent.glob("part-*")), own)
    (tmp_path / "readings/day=soon").mkdir()
    shutil.copy(own, tmp_path / "readings/day=soon/part-a.parquet")
    assert compact(tmp_path, SETTINGS, NOW).files == 16
    assert own.exists()
    assert sum(sized(tmp_path)) == 122 + 10 + 10


def test_a_run_that_reads_goes_on_with_the_old_files(tmp_path):
    fill(tmp_path)
    job = prepare("telemetry", source(tmp_path), BEGIN, END)
    compact(tmp_path, SETTINGS, NOW)
    assert sum(rows.num_rows for rows in clean_parts(job, job.parts, Tally(), list)) == 122


def test_a_run_that_reads_for_longer_than_they_are_kept_is_told(tmp_path):
    fill(tmp_path)
    job = prepare("telemetry", source(tmp_path), BEGIN, END)
    compact(tmp_path, SETTINGS, NOW)
    compact(tmp_path, SETTINGS, NOW * 2)
    with pytest.raises(DataError, match=r"changed while the run read it: it is gone.*Run again"):
        list(clean_parts(job, job.parts, Tally(), list))
    assert windows(tmp_path).tally.total("used") == 240


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.collect.compact import compact
from pipeline.settings.collect import Compact

folder, kept = Path(sys.argv[1]), float(sys.argv[2])

def run(number):
    left = [number]

    def hook(event, arguments):
        writes = event == "open" and str(arguments[1])[:1] in ("w", "x")
        if writes or event in ("os.rename", "os.remove"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    compact(folder / str(number), Compact(), kept)
    os._exit(0)

number, status = 0, signal.SIGKILL
while status == signal.SIGKILL:
    number += 1
    child = os.fork() or run(number)
    status = os.waitpid(child, 0)[1]
print(number, status)
"""


def test_killed_at_any_step_each_reading_is_found_once(tmp_path):
    """SIGKILL before each file that is opened to be written, renamed or removed."""
    whole = tmp_path / "whole"
    fill(whole)
    compact(whole, SETTINGS, NOW)
    land(whole, *(reading(m, gateway=f"g{m % 2}") for m in range(120, 140)))
    expected = windows(whole)
    folders = [tmp_path / "killed" / str(number) for number in range(1, 60)]
    for folder in folders:
        shutil.copytree(whole, folder)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "killed", str(NOW * 2)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps, status = map(int, done.stdout.split())
    # The lock; 16 removed; of each gateway a file that is written and renamed.
    assert (steps - 1, status) == (1 + 16 + 2 * 2, 0)
    for folder in folders[:steps]:
        found = windows(folder)
        assert found.tables["every_1h"].equals(expected.tables["every_1h"])
        assert found.tally.reasons == expected.tally.reasons
        compact(folder, SETTINGS, NOW * 2)
        assert sized(folder) == [71, 71]
        assert not list(folder.rglob(".part*"))


def test_beside_a_collector_and_a_reader(tmp_path):
    """None of the three waits for another; in the end each reading is there once."""
    fill(tmp_path)
    stop = threading.Event()

    def collect() -> None:
        for minute in range(200, 260):
            land(tmp_path, reading(minute, gateway=f"g{minute % 2}"))
        stop.set()

    writer = threading.Thread(target=collect)
    writer.start()
    while not stop.is_set():
        compact(tmp_path, SETTINGS, NOW)
        assert windows(tmp_path).tally.total("duplicate") == 2 * 2
    writer.join()
    compact(tmp_path, SETTINGS, NOW)
    assert windows(tmp_path).tally.total("used") == 2 * (120 + 60)
    assert sum(sized(tmp_path)) == 122 + 60


def test_one_at_a_time(tmp_path):
    fill(tmp_path)
    with compaction._alone(tmp_path), pytest.raises(StreamError, match="compacted already"):
        compact(tmp_path, SETTINGS, NOW)


def test_a_file_that_is_none_stops_it_and_loses_nothing(tmp_path):
    fill(tmp_path)
    place = next((tmp_path / "readings").rglob("source=g1"))
    (place / "part-b.parquet").write_bytes(b"half a file")
    with pytest.raises(StreamError, match=r"source=g1 can't be compacted: .*Parquet.*move"):
        compact(tmp_path, SETTINGS, NOW)
    (place / "part-b.parquet").unlink()
    assert sum(sized(tmp_path)) == 122
    assert compact(tmp_path, SETTINGS, NOW).into > 0


def test_a_full_disk_leaves_all_as_it_was(tmp_path, monkeypatch):
    fill(tmp_path)
    before = names(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(landing.os, "fsync", full)
    with pytest.raises(StreamError, match=r"No space left on device.*make room"):
        compact(tmp_path, SETTINGS, NOW)
    assert names(tmp_path) == before
    assert not list(tmp_path.rglob(".part*"))


def test_nothing_there_yet(tmp_path):
    assert compact(tmp_path / "later", SETTINGS, NOW) == Compacted(0, 0, 0)


def test_the_verb(tmp_path):
    """The day of the readings is over long since by the clock of this machine."""
    fill(tmp_path / "in")
    settings = tmp_path / "settings.yaml"
    settings.write_text(settings_text(tmp_path / "in", "localhost:1"))
    words = ("-m", "pipeline", "--settings", settings, "collect", "--compact")
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "telemetry: 16 files became 3; 0 that earlier ones stand for" in done.stderr
    assert sized(tmp_path / "in") == [61, 61]

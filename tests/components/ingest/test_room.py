"""A file that cannot be written whole: told with its place and the room there, and not visible.

The kernel refuses: above RLIMIT_FSIZE it says EFBIG where a full disk says ENOSPC.
"""

import re
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.examples import ShardWriter
from components.ingest.room import UnwritableError, writing
from components.ingest.sensor.buckets import BucketWriter, QuarantineWriter, read_bucket
from components.ingest.sensor.features import prepare
from components.ingest.sensor.kept import KeptReadings
from components.ingest.sensor.plan import Plan
from components.ingest.sensor.quarantine import rejected_rows
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.tally import Tally
from components.ingest.whole_file import join, whole_file
from components.point_in_time_join.bucket_files import BucketFiles

ROWS = 20_000
ASKED: dict[str, Any] = {
    "kind": "sensor",
    "path": "*.csv",
    "entity": "machine",
    "time": {"column": "ts"},
    "channels": {"temperature": {}},
    "windows": [{"size": "1h", "aggregate": ["mean"]}],
}
PLAN = Plan("telemetry", SensorSource.model_validate(ASKED), "int", 0, 1)


@pytest.fixture
def limited() -> Iterator[Callable[[bool], None]]:
    """Lets no file grow above 64 KiB, or lets it again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(on: bool) -> None:
        most = 64 << 10 if on else before[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))

    yield limit
    limit(False)
    signal.signal(signal.SIGXFSZ, handled)


def noise(rows: int) -> pa.Array:
    return pa.array(np.random.default_rng(1).random(rows))


def write_shard(folder: Path) -> None:
    with ShardWriter(f"{folder}/shard.gz") as writer:
        for _ in range(10):
            writer.write(pa.RecordBatch.from_arrays([noise(ROWS)], names=["x"]))


def write_small_shard(folder: Path) -> None:
    """So that it is the last flush that fails."""
    with ShardWriter(f"{folder}/shard.gz") as writer:
        writer.write(pa.RecordBatch.from_arrays([noise(ROWS)], names=["x"]))


def write_whole(folder: Path) -> None:
    with whole_file(f"{folder}/report.json") as file:
        file.write(b"x" * (1 << 20))


def write_buckets(folder: Path) -> None:
    numbers = pa.array(np.arange(ROWS))
    batch = pa.RecordBatch.from_arrays([numbers, numbers, numbers, noise(ROWS)], schema=PLAN.schema)
    with BucketWriter(PLAN, str(folder), "cleaning-0", 3) as writer:
        writer.write(batch)
        writer.write(batch)
    assert sum(len(read_bucket(PLAN, [path])) for path in writer.files.values()) == 2 * ROWS


def write_quarantine(folder: Path) -> None:
    lines = np.random.default_rng(1).integers(0, 1 << 40, ROWS)
    with QuarantineWriter(f"{folder}/cleaning-0.parquet") as writer:
        writer.write([rejected_rows("a.csv", "malformed", lines, 1)])


def write_joined(folder: Path) -> None:
    pieces = [folder / ".piece"] * 2
    pieces[0].write_bytes(b"x" * (60 << 10))
    try:
        join([str(piece) for piece in pieces], f"{folder}/shard.gz")
    finally:
        pieces[0].unlink()


WRITERS = [
    write_shard,
    write_small_shard,
    write_whole,
    write_joined,
    write_buckets,
    write_quarantine,
]


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_cannot_be_whole_is_not_there(
    tmp_path: Path, limited: Any, write: Callable[[Path], None]
) -> None:
    limited(True)
    with pytest.raises(UnwritableError) as told:
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert re.fullmatch(
        rf"{tmp_path}/[\w.-]+ cannot be written: File too large \([\d,]+ of [\d,]+ MiB free\)\. "
        r"Make room there, or let run\.directory in the settings name another folder",
        str(told.value),
    )
    limited(False)
    write(tmp_path)
    made = list(tmp_path.iterdir())
    assert made and not [path for path in made if path.name.startswith(".")]


def test_readings_that_cannot_be_kept_are_told(tmp_path: Path, limited: Any) -> None:
    lines = [f"m{n % 3},{n},{n * 0.123}" for n in range(ROWS)]
    (tmp_path / "a.csv").write_text("\n".join(["machine,ts,temperature", *lines]))
    kept = {"incremental": {"directory": f"{tmp_path}/kept"}, "time": {"column": "ts", "unit": "s"}}
    source = SensorSource.model_validate(ASKED | kept | {"path": f"{tmp_path}/*.csv"})
    job = prepare("telemetry", source, 0, ROWS * 1_000_000)
    limited(True)
    with pytest.raises(UnwritableError, match=r"readings\.arrow cannot be written: File too large"):
        list(KeptReadings(job.plan).clean(job, job.parts[0], Tally(), lambda _: None))


def test_rows_on_their_way_to_a_bucket_that_cannot_be_written_are_told(
    tmp_path: Path, limited: Any
) -> None:
    limited(True)
    files = BucketFiles(str(tmp_path))
    with pytest.raises(UnwritableError, match=r"-00002\.arrow cannot be written: File too large"):
        files.write(2, pa.record_batch([noise(ROWS)], names=["a"]))


def test_a_name_without_a_folder_lies_where_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with whole_file("report.json") as file:
        file.write(b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_what_is_no_lack_of_room_asks_for_other_things(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableError, match=r"Not a directory\. Check the disk, and that"):
        write_whole(tmp_path / "file" / "folder")


def test_a_full_device_is_told_as_such() -> None:
    with (
        pytest.raises(
            UnwritableError, match="/dev/full cannot be written: No space left on device"
        ),
        writing("/dev/full"),
        Path("/dev/full").open("wb") as full,
    ):
        full.write(b"x")

"""A file that changes while it is read: the run uses what it saw, or names the file and the change.

Files change after the first block was read, or after the run looked and before it read.
"""

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest.errors import DataError
from components.ingest.sensor.features import clean_parts, prepare, sensor_windows
from components.ingest.sensor.files import watermark, whole_files
from components.ingest.sensor.reading import read_part
from components.ingest.sensor.tally import Tally

ROWS = 20_000
MEND = (
    ". Run again. Let files take their name when they are whole (write beside it, then mv), or "
    "narrow sources.t.path to files that are closed"
)


def line(plain, number: int, temperature: float = 1.5) -> str:
    at = plain.iso(plain.begin + number * 1_000_000)
    return f'{{"machine": 1, "ts": "{at}", "temperature": {temperature}, "pressure": 3}}\n'


@pytest.fixture
def text(plain) -> bytes:
    return "".join(line(plain, i) for i in range(ROWS)).encode()


def write(path: Path, text: bytes) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text, 0))
    elif path.suffix == ".parquet":
        times = [
            f"2025-03-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z" for i in range(ROWS)
        ]
        random = np.random.default_rng(1)
        columns = {"machine": [1] * ROWS, "ts": times}
        columns |= {name: random.random(ROWS) for name in ("temperature", "pressure")}
        pq.write_table(pa.table(columns), path, row_group_size=2000, use_dictionary=False)
    else:
        path.write_bytes(text)
    return path


def blocks(plain, path: Path, batch_rows: int = 2000) -> Iterator[int]:
    """Rows by block."""
    source = plain.make_source(path, batch_rows=batch_rows)
    (part,) = whole_files("t", source)
    return (rows.batch.num_rows for rows in read_part("t", source, part))


def replace(path: Path) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(path.read_bytes())
    beside.replace(path)


def overwrite(path: Path) -> None:
    held = path.read_bytes()
    path.write_bytes(held[: len(held) // 2] + held)


def rewrite(path: Path) -> None:
    held = path.read_bytes()
    with path.open("r+b") as file:
        file.write(held[:100])
    os.utime(path, ns=(0, 0))


def add(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x" * 1000)


TEXT_ONLY = "overwritten by a longer one"
CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (lambda path: os.truncate(path, 100_000), "it was cut from {size:,} to 100,000 bytes"),
    "replaced": (replace, "another file has its name"),
    "gone": (Path.unlink, "it is gone"),
    "rewritten": (rewrite, "it was written over"),
    TEXT_ONLY: (overwrite, "it was written over"),
    "grown": (add, "it grew from {size:,} to {more:,} bytes"),
}
OF_TEXT = [change for change in CHANGES if change != "grown"]
CASES = [("a.jsonl", change) for change in OF_TEXT]
CASES += [(n, c) for n in ("a.jsonl.gz", "a.parquet") for c in CHANGES if c != TEXT_ONLY]


@pytest.mark.parametrize(("name", "change"), CASES)
def test_a_change_in_mid_read_stops_it(plain, tmp_path, text, name, change):
    path = write(tmp_path / name, text)
    act, told_as = CHANGES[change]
    size = path.stat().st_size
    reading = blocks(plain, path)
    assert next(reading) > 0
    act(path)
    with pytest.raises(DataError) as told:
        list(reading)
    what = told_as.format(size=size, more=size + 1000)
    assert str(told.value) == f"t: {path}: it changed while the run read it: {what}{MEND}"
    write(path, text)
    assert sum(blocks(plain, path)) == ROWS


@pytest.mark.parametrize("change", OF_TEXT)
def test_a_change_between_look_and_read_stops_it(plain, tmp_path, text, change):
    path = write(tmp_path / "a.jsonl", text)
    source = plain.make_source(path)
    job = prepare("t", source, plain.begin, plain.end, part_bytes=100_000)
    assert len(job.parts) > 5
    CHANGES[change][0](path)
    with pytest.raises(DataError, match=r"a\.jsonl: it changed while the run read it: "):
        list(clean_parts(job, job.parts[-1:], Tally(), lambda rows: None))


def test_what_is_added_is_left_to_the_next_run(plain, tmp_path, text):
    """The writer is in the middle of a line when the run looks; the line is whole in the next."""
    path = tmp_path / "a.jsonl"
    last = line(plain, ROWS, 99).encode()
    path.write_bytes(text + last[:30])
    source = plain.make_source(path)
    before = watermark(source)
    job = prepare("t", source, plain.begin, plain.end)
    with path.open("ab") as file:
        file.write(last[30:] + line(plain, ROWS + 1, 99).encode())
    tally = Tally()
    readings = list(clean_parts(job, job.parts, tally, lambda rows: None))
    assert sum(batch.num_rows for batch in readings) == ROWS
    assert tally.files[0]["read"] == 2 * ROWS and not tally.files[0].get("rejected")
    assert watermark(source) != before
    again = sensor_windows("t", source, plain.begin, plain.end)
    assert again.report["readings"]["used"] == 2 * (ROWS + 2)


def test_a_last_line_without_an_end_counts_where_nobody_writes(plain, tmp_path, text):
    path = write(tmp_path / "a.jsonl", text.rstrip(b"\n"))
    assert sum(blocks(plain, path)) == ROWS


def test_the_same_change_before_the_run_looks_is_read_as_it_is(plain, tmp_path, text):
    path = write(tmp_path / "a.jsonl", text)
    add(path)
    assert sum(blocks(plain, path)) == ROWS

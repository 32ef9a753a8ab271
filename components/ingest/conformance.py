"""The tests that any source of rows must pass: subclass ``SourceConformance`` in a test file.

::

    class TestRedis(SourceConformance):
        @pytest.fixture
        def subject(self, server):
            return Subject(source=…, times=…, rows=[…], …)

It needs pytest, as a project's tests do.
"""

import dataclasses
import functools
import json
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.ingest.durations import parse_instant
from components.ingest.errors import DataError
from components.ingest.examples import ShardWriter, read_table
from components.ingest.kinds import source_from_json
from components.ingest.plan import Times
from components.ingest.source import RowSource
from components.ingest.spans.days import days_of
from components.ingest.spans.reading import read_stretches
from components.ingest.spans.refresh import look, refresh
from components.ingest.spans.shards import write_shards
from components.ingest.spans.store import DayStore

NAME = "conformance"


@dataclasses.dataclass(frozen=True)
class Subject:
    """A source over data that are known.

    Attributes:
      source: its settings; more than one partition, and batches smaller than a partition.
      times: a stretch of time that some of the data lie before, and some after.
      rows: all rows in it: by column the value that Arrow gives, times in microseconds, None where
        there is none. At least six, of two entities, with a None and, at its begin, the first one.
      change: adds a row to the data, in the stretch of time; called once, at the end of a test.
      unreachable: the same settings, but nothing answers there.
      broken: a source over data of which a value does not fit its column.
      secrets: what may stand nowhere.
    """

    source: RowSource
    times: Times
    rows: list[dict[str, Any]]
    change: Callable[[], None]
    unreachable: RowSource
    broken: RowSource
    secrets: tuple[str, ...] = ()


class SourceConformance:
    """What the pipeline relies on; a subclass has a fixture ``subject``."""

    def test_settings_travel_as_json(self, subject: Subject) -> None:
        """Components get them so; the kind must be known."""
        assert source_from_json(subject.source.model_dump_json()) == subject.source

    def test_all_rows_once(self, subject: Subject) -> None:
        """Partitions are disjoint and complete; values, None and times arrive as they are."""
        assert len(subject.rows) >= 6
        assert any(value is None for row in subject.rows for value in row.values())
        parts = _parts(subject.source, subject.times)
        assert len(parts) > 1
        assert _sorted(row for part in parts for row in part) == _sorted(subject.rows)

    def test_a_stretch_is_what_its_halves_are(self, subject: Subject) -> None:
        """Days are read by themselves where ``incremental`` asks for it."""
        times, middle = subject.times, (subject.times.begin + subject.times.end) // 2
        halves = (Times(times.begin, middle, middle), Times(middle, times.end, times.end))
        read = [[r for part in _parts(subject.source, half) for r in part] for half in halves]
        assert all(read)
        assert _sorted(read[0] + read[1]) == _sorted(subject.rows)

    def test_kept_days_are_the_rows(self, subject: Subject, tmp_path: Path) -> None:
        """What ``incremental`` keeps by day are the Examples of a whole read."""
        told = {"incremental": {"late": "1d", "directory": str(tmp_path / "days")}}
        kept = source_from_json(json.dumps(subject.source.model_dump(mode="json") | told))
        assert isinstance(kept, RowSource)
        store, times = DayStore(NAME, kept), subject.times
        days = days_of(times.begin, times.end)
        read = functools.partial(read_stretches, NAME, kept, store)
        for run in ("first", "again"):
            (tmp_path / run).mkdir()
            found = refresh(NAME, kept, store, days, look(NAME, kept, days, times.as_of), read)
            count, _, _ = write_shards(NAME, kept, store, found, times, str(tmp_path / run))
            assert count == len(subject.rows)
        plan = subject.source.plan(NAME, times)
        with ShardWriter(str(tmp_path / "whole.gz")) as whole:
            for part in plan.partitions:
                for batch in subject.source.read(NAME, times, plan.columns, part):
                    whole.write(batch)
        shards = sorted(str(path) for path in (tmp_path / "again").iterdir())
        both = [_sorted(read_table(files).to_pylist()) for files in (shards, [whole.path])]
        assert both[0] == both[1]

    def test_types_are_settled_once(self, subject: Subject) -> None:
        """Each batch has the plan's columns, and no more rows than ``batch_rows``."""
        source, times = subject.source, subject.times
        plan = source.plan(NAME, times)
        kinds = {column.name: column.kind for column in plan.columns}
        assert kinds[source.entity] in ("int", "text", "bytes")
        assert kinds[source.time] == "time"
        batches = [
            batch for p in plan.partitions for batch in source.read(NAME, times, plan.columns, p)
        ]
        assert len(batches) > len(plan.partitions), "partitions of one batch each show too little"
        for batch in batches:
            assert batch.schema == plan.arrow_schema
            assert batch.num_rows <= source.batch_rows

    def test_reading_again_gives_the_same(self, subject: Subject) -> None:
        """A part that is read in another process, and after it was broken off, is the same."""
        source, times = subject.source, subject.times
        before = _parts(source, times)
        plan = source.plan(NAME, times)
        for part, rows in zip(plan.partitions, before, strict=True):
            broken_off = source.read(NAME, times, plan.columns, part)
            next(iter(broken_off), None)
            del broken_off
            sent = pickle.loads(pickle.dumps((source, times, plan.columns, part)))
            assert _rows(sent[0].read(NAME, *sent[1:])) == rows
            assert str(part)

    def test_the_stretch_of_time_is_kept(self, subject: Subject) -> None:
        """Begin belongs to it, end does not; what lies later is as if it weren't there."""
        moments = sorted(row[subject.source.time] for row in subject.rows)
        assert moments[0] == subject.times.begin
        middle = moments[len(moments) // 2]
        for begin, end in ((moments[0], middle), (middle, moments[-1] + 1)):
            wanted = [r for r in subject.rows if begin <= r[subject.source.time] < end]
            times = Times(begin, end, min(end, subject.times.as_of))
            found = [row for part in _parts(subject.source, times) for row in part]
            assert _sorted(found) == _sorted(wanted)

    def test_this_machines_time_zone_does_not_matter(self, subject: Subject) -> None:
        """A worker may run where the clock shows another time."""
        before = os.environ.get("TZ")
        try:
            os.environ["TZ"] = "Asia/Kolkata"
            time.tzset()
            found = [row for part in _parts(subject.source, subject.times) for row in part]
        finally:
            os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
            time.tzset()
        assert _sorted(found) == _sorted(subject.rows)

    def test_no_rows_are_told(self, subject: Subject) -> None:
        """A stretch of time without rows stops the run with the source's name."""
        begin = parse_instant("1990-01-01")
        times = Times(begin, begin + 1_000_000, begin + 1_000_000)
        with pytest.raises(DataError, match="no rows from 1990-01-01") as told:
            subject.source.plan(NAME, times)
        _is_whole(told.value, subject)
        assert subject.source.entity_rows(NAME, times, None).num_rows == 0

    def test_some_entities(self, subject: Subject) -> None:
        """Prediction asks for a few entities, and gets what training reads of them."""
        source = subject.source
        entities = sorted({row[source.entity] for row in subject.rows})
        assert len(entities) > 1
        found = source.entity_rows(NAME, subject.times, entities[:1])
        wanted = [row for row in subject.rows if row[source.entity] == entities[0]]
        assert _sorted(found.to_pylist()) == _sorted(wanted)

    def test_a_first_look(self, subject: Subject) -> None:
        """``check`` shows a few rows and where they lie."""
        seen = subject.source.preview(NAME, subject.times, 2)
        assert seen.columns == list(seen.types) == list(subject.rows[0])
        assert all(row in subject.rows for row in seen.table.to_pylist())
        assert seen.table.num_rows == min(2, subject.source.batch_rows)
        assert subject.source.place(NAME)

    def test_the_fingerprint_follows_the_data(self, subject: Subject) -> None:
        """Unchanged data keep it, so that a run is cached; a new row changes it."""
        source, as_of = subject.source, subject.times.as_of
        before = source.fingerprint(NAME, as_of)
        assert source.fingerprint(NAME, as_of) == before
        subject.change()
        assert source.fingerprint(NAME, as_of) != before

    def test_nothing_answers(self, subject: Subject) -> None:
        """The error tells it within a minute, as the user can mend it."""
        begun = time.monotonic()
        for ask in (
            lambda: subject.unreachable.plan(NAME, subject.times),
            lambda: subject.unreachable.fingerprint(NAME, subject.times.as_of),
        ):
            with pytest.raises(DataError) as told:
                ask()
            _is_whole(told.value, subject)
        assert time.monotonic() - begun < 60

    def test_a_value_that_does_not_fit(self, subject: Subject) -> None:
        """The error names the column and the row."""
        with pytest.raises(DataError, match=r"column '\w+', row \d+") as told:
            _parts(subject.broken, subject.times)
        _is_whole(told.value, subject)
        assert told.value.value is not None

    def test_no_secret_is_told(self, subject: Subject) -> None:
        """What reaches metadata, reports and logs holds none."""
        source, times = subject.source, subject.times
        plan = source.plan(NAME, times)
        told = [
            source.model_dump_json(),
            repr(source),
            source.place(NAME),
            source.fingerprint(NAME, times.as_of),
            repr(plan),
            *map(str, plan.partitions),
        ]
        for secret in subject.secrets:
            assert not [text for text in told if secret in text]


def _parts(source: RowSource, times: Times) -> list[list[dict[str, Any]]]:
    plan = source.plan(NAME, times)
    return [_rows(source.read(NAME, times, plan.columns, part)) for part in plan.partitions]


def _rows(batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in pa.Table.from_batches([batch]).to_pylist()]


def _sorted(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: repr(sorted(row.items())))


def _is_whole(error: DataError, subject: Subject) -> None:
    """A message names the source, says what was expected and what to do, and holds no secret."""
    assert error.source == NAME
    assert error.where and error.rule and error.mend
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert not [secret for secret in subject.secrets if secret in trace]

"""Clean readings of files that have not changed, so that a run reads the others only.

Windows straddle days, and a channel's history decides what is stuck: so windows are computed anew,
from all readings, and what is kept is what reading a part of a file gave: its readings, what was
rejected and what was counted. That depends on the run's time only by which readings lie outside of
it; so it is taken where that makes no difference, and the result is exactly that of a whole read.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.paths import open_file
from components.ingest.room import open_to_write
from components.ingest.sensor.features import SensorJob, clean_parts
from components.ingest.sensor.files import Part
from components.ingest.sensor.plan import LINE_BITS, Plan
from components.ingest.sensor.quarantine import QUARANTINE
from components.ingest.sensor.tally import UNPLACED, Tally
from components.ingest.spans.shelf import Shelf

FORMAT = 1
"""Raised when the same files become other readings than before."""

Reject = Callable[[list[pa.Table]], None]

_PACKED = pa.ipc.IpcWriteOptions(compression="lz4")

# What cleaning does not look at.
_NOT_CONTENT = {
    *("path", "windows", "tolerance", "fill", "interval", "max_gap", "max_rejected", "keep"),
    *("batch_rows", "incremental"),
}


@dataclasses.dataclass(frozen=True)
class KeptPart:
    """What was kept of a part of a file.

    Attributes:
      file: the name of its data; None where there are none.
      state: of the file: its path, size, time of change, and where the part begins and ends.
      index: the file's index when it was read.
      begin: the earliest time of a reading that was looked at, microseconds.
      end: the latest time of a reading, and of its receipt.
      seen: first and last time of all placed readings; None without any.
      counts: by outcome and reason, as ``Tally.files`` has them.
      channels: as ``Tally.channels``.
      gateways: as ``Tally.gateways``.
      examples: as ``Tally.examples``.
      inside: whether its readings lie in the run's time.
    """

    file: str | None
    state: list[Any]
    index: int
    begin: int
    end: int
    seen: list[int] | None
    counts: dict[str, int]
    channels: dict[str, dict[str, int]]
    gateways: dict[str, int]
    examples: dict[str, list[dict[str, Any]]]
    inside: bool = True

    def tally(self, index: int) -> Tally:
        """What was counted, of a file that has this index now."""
        tally = Tally()
        tally.files[index].update(self.counts)
        for channel, counts in self.channels.items():
            tally.channels[channel].update(counts)
        tally.gateways.update(self.gateways)
        tally.seen = (self.seen[0], self.seen[1]) if self.seen else None
        tally.examples = dict(self.examples)
        return tally

    def at(self, plan: Plan) -> "KeptPart | None":
        """What reading the part gives in a run's time; None if it must be read to know."""
        if self.seen is None or (self.begin, self.end) == (plan.begin, plan.end):
            return self
        apart = self.seen[1] < plan.begin or self.seen[0] > plan.end
        if not self.counts.get("outside"):
            if plan.begin <= self.seen[0] and self.end <= plan.end:
                return self
            return self._outside() if apart else None
        was_apart = self.seen[1] < self.begin or self.seen[0] > self.end
        return self if apart and was_apart else None

    def _outside(self) -> "KeptPart":
        """What is told of a part whose readings all lie outside of the run's time."""
        unplaced = {reason: n for reason, n in self.counts.items() if reason in UNPLACED}
        placed = self.counts["read"] - self.counts.get("ignored", 0) - sum(unplaced.values())
        told: dict[str, int] = {
            key: self.counts[key] for key in ("read", "ignored") if key in self.counts
        }
        return dataclasses.replace(
            self,
            counts={**told, **unplaced, "outside": placed},
            channels={},
            examples={r: rows for r, rows in self.examples.items() if r in UNPLACED},
            inside=False,
        )


class KeptReadings:
    """The kept parts of a source's files.

    Attributes:
      shelf: where they lie.
    """

    def __init__(self, plan: Plan) -> None:
        """Finds them; what cleaning is told decides the folder.

        Raises:
          DataError: if the settings name no directory.
        """
        told = plan.source.model_dump_json(exclude=_NOT_CONTENT)
        content = (str(FORMAT), told, plan.entity, json.dumps(sorted(plan.offsets.items())))
        directory = plan.source.incremental.directory if plan.source.incremental else None
        self.shelf = Shelf(plan.name, directory, content)

    def load(self, plan: Plan, parts: Sequence[Part]) -> dict[str, KeptPart]:
        """Those that need not be read again, by ``name_of`` their part."""
        state = {name_of(part): _state(part) for part in parts}
        found = {name: KeptPart(**entry) for name, entry in self.shelf.load(state).items()}
        fitting = {name: k.at(plan) for name, k in found.items() if k.state == state[name]}
        return {name: kept for name, kept in fitting.items() if kept is not None}

    def clean(
        self, job: SensorJob, part: Part, tally: Tally, reject: Reject
    ) -> Iterator[pa.RecordBatch]:
        """As ``clean_parts`` of one part, which is kept."""
        own, rejected, rows = Tally(), list[pa.Table](), 0
        with self.shelf.workspace() as work:
            path = f"{work}/readings.arrow"
            with open_to_write(path) as file:
                with pa.ipc.new_stream(file, job.plan.schema, options=_PACKED) as writer:
                    for batch in clean_parts(job, [part], own, rejected.extend):
                        writer.write_batch(batch)
                        rows += batch.num_rows
                        yield batch
                with pa.ipc.new_stream(file, QUARANTINE, options=_PACKED) as writer:
                    for table in rejected:
                        writer.write_table(table)
            kept = KeptPart(
                None,
                _state(part),
                part.index,
                job.plan.begin,
                job.plan.end,
                list(own.seen) if own.seen else None,
                dict(own.files[part.index]),
                {channel: dict(counts) for channel, counts in own.channels.items()},
                dict(own.gateways),
                own.examples,
            )
            data = path if rows or rejected else None
            self.shelf.put(name_of(part), dataclasses.asdict(kept), data, work)
        tally.add(own)
        reject(rejected)

    def take(
        self, part: Part, kept: KeptPart, tally: Tally, reject: Reject
    ) -> Iterator[pa.RecordBatch]:
        """Gives what ``clean`` gave when the part was kept, as it is in this run's time."""
        tally.add(kept.tally(part.index))
        if kept.file is None:
            return
        shift = (part.index - kept.index) << LINE_BITS
        with open_file(f"{self.shelf.folder}/{kept.file}", "rb") as file:
            with pa.ipc.open_stream(file) as readings:
                for batch in readings:
                    if kept.inside:
                        yield _moved(batch, shift)
            with pa.ipc.open_stream(file) as rejected:
                rows = rejected.read_all()
        if not kept.inside:
            rows = rows.filter(pc.is_in(rows["reason"], value_set=pa.array(UNPLACED)))
        reject([rows] if rows.num_rows else [])

    def prune(self, plan: Plan, parts: Sequence[Part], kept: Mapping[str, KeptPart]) -> None:
        """Removes what is not needed any more; see ``Shelf.prune``.

        That is what was kept of files that are gone or have changed, and readings of more than
        ``incremental.keep`` before the run's time.
        """
        assert plan.source.incremental is not None
        first = plan.begin - plan.source.incremental.keep
        old = {n for n, one in kept.items() if one.file and one.seen and one.seen[1] < first}
        needed = {name_of(part) for part in parts} - old
        self.shelf.prune(lambda name: name in needed)


def name_of(part: Part) -> str:
    """What a part is kept under."""
    return f"{hashlib.sha256(part.path.encode()).hexdigest()[:20]}-{part.begin}"


def _state(part: Part) -> list[Any]:
    changed = part.seen.changed if part.seen else 0
    return [part.path, part.format, part.begin, part.end, part.line, part.bytes, changed]


def _moved(batch: pa.RecordBatch, shift: int) -> pa.RecordBatch:
    """Readings whose file has another index now."""
    if not shift:
        return batch
    at = batch.schema.get_field_index("place")
    columns = list(batch.columns)
    columns[at] = pc.add(columns[at], shift)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

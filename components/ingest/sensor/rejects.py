"""What cleaning leaves out of a file: counted by reason and kept as quarantine rows."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.sensor.plan import Plan
from components.ingest.sensor.quarantine import as_text, rejected_rows
from components.ingest.sensor.tally import Tally
from components.ingest.sensor.work import Work

Bools = npt.NDArray[np.bool_]


class Rejects:
    """Takes what cannot be used of one file.

    Args:
      plan: what cleaning does.
      file: the file's path.
      index: its index among the source's files.
      tally: where everything is counted.
    """

    def __init__(self, plan: Plan, file: str, index: int, tally: Tally) -> None:
        self._plan = plan
        self._names = list(plan.source.channels)
        self._file = file
        self._tally = tally
        self._counts = tally.files[index]
        self._rejected: list[pa.Table] = []

    def take(self) -> list[pa.Table]:
        """Quarantine rows (see QUARANTINE) since the last call."""
        taken, self._rejected = self._rejected, []
        return taken

    def malformed(self, lines: list[tuple[int, str]]) -> None:
        """Rejects lines that are no rows: their numbers and texts."""
        if not lines:
            return
        self._counts["malformed"] += len(lines) * self._plan.per_row
        rows = rejected_rows(
            self._file,
            "malformed",
            np.array([number for number, _ in lines], np.int64),
            readings=self._plan.per_row,
            value=pa.array([text for _, text in lines], pa.string()),
        )
        self._quarantine("malformed", rows)

    def rows(
        self,
        work: Work,
        reason: str,
        mask: Bools | None,
        also: list[Bools | None] | None = None,
    ) -> None:
        """Rejects whole rows and takes them out; masks in ``also`` shrink with them."""
        work.also = also or []
        where = np.flatnonzero(mask) if mask is not None else np.zeros(0, np.int64)
        if not len(where):
            return
        self._counts[reason] += len(where) * self._plan.per_row
        rows = work.batch.take(pa.array(where))
        shown = dict(zip(rows.schema.names, (as_text(c) for c in rows.columns), strict=True))
        texts = [pc.fill_null(column, "") for column in shown.values()]
        told = rejected_rows(
            self._file,
            reason,
            work.lines[where],
            readings=self._plan.per_row,
            entity=shown.get(self._plan.source.entity),
            channel=shown.get(self._plan.source.channel or ""),
            time=shown.get(self._plan.source.time.column),
            value=pc.binary_join_element_wise(*texts, "\t"),
        )
        self._quarantine(reason, told)
        assert mask is not None
        work.keep(~mask)

    def readings(
        self,
        work: Work,
        raw: pa.Array,
        channel: int | npt.NDArray[np.int16],
        reason: str,
        mask: Bools,
        beside: pa.Array | None = None,
    ) -> None:
        """Counts and quarantines single readings; ``beside`` is told after the value."""
        where = np.flatnonzero(mask)
        if not len(where):
            return
        self.count(channel, reason, mask)
        picked = pa.array(where)
        value = as_text(raw.take(picked))
        if beside is not None:
            value = pc.binary_join_element_wise(value, as_text(beside.take(picked)), " ")
        codes = np.full(len(where), channel) if isinstance(channel, int) else channel[where]
        rows = rejected_rows(
            self._file,
            reason,
            work.lines[where],
            readings=1,
            entity=as_text(work.entity.take(picked)),
            channel=pa.array(self._names).take(pa.array(codes)),
            time=as_text(work.column(self._plan.source.time.column).take(picked)),
            value=value,
        )
        self._quarantine(reason, rows)

    def count(self, channel: int | npt.NDArray[np.int16], outcome: str, mask: Bools) -> None:
        """Counts an outcome of single readings; ``channel`` is that of all, or of each."""
        if isinstance(channel, int):
            self._add(channel, outcome, int(mask.sum()))
            return
        for index, count in enumerate(np.bincount(channel[mask], minlength=1).tolist()):
            self._add(index, outcome, count)

    def _add(self, channel: int, outcome: str, count: int) -> None:
        if count:
            self._counts[outcome] += count
            self._tally.channels[self._names[channel]][outcome] += count

    def _quarantine(self, reason: str, rows: pa.Table) -> None:
        self._rejected.append(rows)
        self._tally.note_examples(reason, rows.slice(0, 3).to_pylist())

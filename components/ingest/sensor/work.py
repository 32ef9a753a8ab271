"""The rows of a batch on their way through cleaning."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Work:
    """The rows of a batch that are still in, and what is known of them.

    Attributes:
      batch: their columns as read.
      lines: int64[n], their lines.
      codes: int16[n], their channels, in long files.
      entity: their entities.
      time: int64[n], their times, corrected, microseconds.
      received: int64[n], when they were received, or None if the source doesn't tell.
      unreceived: bool[n], rows that don't say when.
      also: masks that shrink with the rows.
    """

    def __init__(self, batch: pa.RecordBatch, lines: Ints) -> None:
        self.batch = batch
        self.lines = lines
        self.codes: npt.NDArray[np.int16] = np.zeros(0, np.int16)
        self.entity: pa.Array = pa.nulls(0)
        self.time: Ints = np.zeros(0, np.int64)
        self.received: Ints | None = None
        self.unreceived: Bools | None = None
        self.also: list[Bools | None] = []

    def column(self, name: str) -> pa.Array:
        """A column of the file; nulls if the file lacks it."""
        if name in self.batch.schema.names:
            return self.batch.column(name)
        return pa.nulls(self.batch.num_rows, pa.string())

    def keep(self, mask: Bools) -> None:
        """Leaves only some rows."""
        count = len(mask)
        chosen = pa.array(mask)
        self.batch = self.batch.filter(chosen)
        if len(self.entity) == count:
            self.entity = self.entity.filter(chosen)
        for name in ("lines", "codes", "time", "received", "unreceived"):
            known = getattr(self, name)
            if known is not None and len(known) == count:
                setattr(self, name, known[mask])
        self.also = [None if other is None else other[mask] for other in self.also]

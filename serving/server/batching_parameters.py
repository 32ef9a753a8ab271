"""How requests are batched: TensorFlow Serving's parameters, their rules, and our default."""

import dataclasses
import os

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_SMALLEST = {
    "max_batch_size": 1,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": 1,
    "num_batch_threads": 1,
    "max_execution_batch_size": 1,
}


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """TensorFlow Serving's session_bundle_config.proto, with its defaults.

    Attributes:
      max_batch_size: rows of a batch, and of a request.
      batch_timeout_micros: how long a batch that is not full waits for more.
      max_enqueued_batches: the queue's bound.
      num_batch_threads: how many batches run at a time, of all models together.
      thread_pool_name: a label of the metrics.
      allowed_batch_sizes: a batch is padded to the next of these; none for any size.
      enable_large_batch_splitting: requests of up to ``max_batch_size`` rows are cut into batches
        of ``max_execution_batch_size``.
      max_execution_batch_size: rows of a batch where requests are split.

    Raises:
      ValueError: naming the field, its value and the rule.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = CORES
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None

    def __post_init__(self) -> None:
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ValueError(f"{name} is {value}: expected {smallest} or more")
        if self.enable_large_batch_splitting and self.batch_rows > self.max_batch_size:
            raise ValueError(
                f"max_execution_batch_size is {self.batch_rows}: expected no more than "
                f"max_batch_size, {self.max_batch_size}"
            )
        sizes = self.allowed_batch_sizes
        if list(sizes) != sorted({size for size in sizes if size > 0}):
            raise ValueError(
                f"allowed_batch_sizes entries must be monotonically increasing; got {list(sizes)}"
            )
        if sizes and sizes[-1] != self.batch_rows:
            limit = (
                "max_execution_batch_size"
                if self.enable_large_batch_splitting
                else "max_batch_size"
            )
            raise ValueError(
                f"Last entry in allowed_batch_sizes must match {limit}; last entry was "
                f"{sizes[-1]}; expected {self.batch_rows}"
            )

    @property
    def batch_rows(self) -> int:
        """Rows of the largest batch that is run."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size is not None:
            return self.max_execution_batch_size
        return self.max_batch_size


ADAPTIVE = BatchingParameters(max_batch_size=128, max_enqueued_batches=32)
"""Without a file. Requests larger than a batch run by themselves instead of being refused."""

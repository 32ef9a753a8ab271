"""Settings of the workers: what stands under ``training: workers:`` in settings.yaml."""

from typing import Annotated, Literal

import pydantic

from components.ingest.durations import Duration

_MINUTE = 60_000_000


class _Workers(pydantic.BaseModel):
    """What every launcher is told; read where ``training.strategy`` is ``multi_worker``.

    Attributes:
      count: how many workers train together. The first is the chief, which trains like the others
        and writes the model, too.
      restarts: how often all workers are started again, from the newest backup, when one is killed
        or hangs. What a worker raises itself ends the training at once: it would raise it again.
      start_timeout: how long a worker may take from its start to the end of its first batch.
      hang_timeout: how long a worker that has begun may take between two batches, or to save.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    count: Annotated[int, pydantic.Field(strict=True, ge=1, le=256)] = 2
    restarts: Annotated[int, pydantic.Field(strict=True, ge=0, le=100)] = 2
    start_timeout: Duration = 20 * _MINUTE
    hang_timeout: Duration = 10 * _MINUTE


class LoopbackWorkers(_Workers):
    """Processes on the machine that the Trainer runs on, over the loopback interface."""

    launcher: Literal["loopback"] = "loopback"


WorkersSettings = LoopbackWorkers


class Launch(pydantic.BaseModel):
    """What the Trainer is told of its workers.

    Attributes:
      workers: as the settings say.
      directory: a folder of this machine for what a training keeps until it has made its model.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    workers: WorkersSettings
    directory: str

"""All workers together, tried again from the newest backup where that may do better."""

import dataclasses
import logging
from collections.abc import Callable

from components.distributed_trainer.launch.job import TrainingFailed
from components.distributed_trainer.settings import WorkersSettings


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why an attempt ended.

    Attributes:
      text: for people.
      passing: whether another attempt may do better.
      clash: whether a port was taken before a worker of this machine could listen on it.
    """

    text: str
    passing: bool
    clash: bool = False


def until_done(attempt: Callable[[], Failure | None], restarts: int) -> None:
    """Attempts until one ends well.

    Args:
      attempt: starts all workers and waits for their end; says why they failed.
      restarts: how often it may be called again.

    Raises:
      TrainingFailed: if an attempt failed for good, or the last one did.
    """
    again = 0
    while (failure := attempt()) is not None:
        if not failure.passing:
            raise TrainingFailed(failure.text)
        if again == restarts:
            raise TrainingFailed(f"{failure.text}\nGiven up after {again} restarts")
        again += 1
        logging.warning(
            "%s\nAll workers start again from the newest backup (%d of %d)",
            failure.text,
            again,
            restarts,
        )


def hang(settings: WorkersSettings, index: int, has_begun: bool, silence: float) -> Failure | None:
    """What a worker's silence means.

    Args:
      settings: of all workers.
      index: which worker.
      has_begun: whether it has ended a batch.
      silence: seconds since it ended one, or since its start.
    """
    name = "hang_timeout" if has_begun else "start_timeout"
    if silence <= getattr(settings, name) / 1e6:
        return None
    return Failure(
        f"worker {index} of {settings.count} hangs: no batch ended for {silence:.0f} s "
        f"(training.workers.{name}). Where each worker stood is in the log",
        passing=True,
    )

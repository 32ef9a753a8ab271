"""What becomes of a stage, and what it may wait for."""

import dataclasses

from pipeline.history import Output
from pipeline.local.events import State


@dataclasses.dataclass(frozen=True)
class Stage:
    """What became of a node.

    Attributes:
      node: its id.
      state: what it entered.
      seconds: how long it took so far.
      outputs: the artifacts that it made or took from the cache.
      text: what came of it, in a line.
      error: why it failed, for people.
      detail: the traceback behind that.
    """

    node: str
    state: State
    seconds: float = 0.0
    outputs: tuple[Output, ...] = ()
    text: str = ""
    error: str = ""
    detail: str = ""


class StageError(Exception):
    """A stage failed; the message is its own.

    Attributes:
      stage: what became of it.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.error)
        self.stage = stage


@dataclasses.dataclass(frozen=True)
class Task:
    """A stage to run.

    Attributes:
      node: its id.
      inputs: the stages that it takes something from: it begins when these are done.
      after: all that it waits for: it publishes what it made when these are done.
    """

    node: str
    inputs: frozenset[str]
    after: frozenset[str]

"""The live table of a run that goes on elsewhere, until it ends or is lost sight of."""

import contextlib
import dataclasses
import time
from collections.abc import Collection

from rich.console import Console

from pipeline.kubeflow.submit.backend import ENDED, Backend, RunState, Snapshot, Stage
from pipeline.kubeflow.submit.errors import reason
from pipeline.kubeflow.submit.retry import is_transient, retried
from pipeline.local.events import Event, State
from pipeline.local.table import StageTable, live, print_line

_NEVER_RAN: dict[RunState, State] = {
    "succeeded": "skipped",
    "failed": "skipped",
    "canceled": "skipped",
}
_CUT_SHORT: dict[RunState, State] = {
    "succeeded": "done",
    "failed": "failed",
    "canceled": "stopped",
}
_PHASES: dict[RunState, str] = {
    "pending": "waiting for the cluster to start it",
    "canceling": "being cancelled",
}


@dataclasses.dataclass(frozen=True)
class Pace:
    """How often to look.

    Attributes:
      first: seconds between two looks while stages change.
      longest: seconds between two looks when nothing has changed for long.
      patience: seconds without an answer after which the run is lost sight of.
    """

    first: float = 2.0
    longest: float = 15.0
    patience: float = 600.0


class Sight:
    """What is known of a run, and the events that show it on the table."""

    def __init__(self, stages: Collection[str]) -> None:
        self._stages = {name: Stage("waiting") for name in stages}
        self.cancelled = False
        self.error = ""

    def changes(self, snapshot: Snapshot) -> tuple[RunState, list[Event]]:
        """Takes in a look.

        KFP may end a cancelled run as FAILED and forget that it was CANCELING.

        Returns:
          The run's state, and an event for each stage that changed.
        """
        self.cancelled |= snapshot.state == "canceling"
        state = snapshot.state
        if state == "failed" and self.cancelled:
            state = "canceled"
        self.error = snapshot.error
        events = []
        for name, before in self._stages.items():
            now = snapshot.stages.get(name, before)
            if state in ENDED and now.state == "waiting":
                now = dataclasses.replace(now, state=_NEVER_RAN[state])
            elif state in ENDED and now.state == "running":
                now = dataclasses.replace(now, state=_CUT_SHORT[state])
            if now.state != before.state:
                self._stages[name] = now
                events.append(_event(name, now))
        return state, events

    def of(self, state: State) -> list[str]:
        """The stages in a state."""
        return [name for name, stage in self._stages.items() if stage.state == state]


def watch(
    backend: Backend,
    run_id: str,
    stages: Collection[str],
    console: Console,
    pace: Pace = Pace(),
) -> tuple[RunState | None, Sight]:
    """Shows a run until it ends.

    Args:
      backend: where it runs.
      run_id: which.
      stages: its stages, in the order in which they are shown.
      console: where; off a terminal each stage is a line when it ends.
      pace: how often to look.

    Returns:
      How it ended, None where it was lost sight of; and what is known of it.

    Raises:
      Exception: what the platform's client raises if it does not know the run, or refuses to tell.
    """
    table, sight = StageTable(), Sight(stages)
    table.apply(Event("plan", nodes=list(stages)))
    state: RunState | None = None
    pause, answered, phase = pace.first, time.monotonic(), ""
    with live(table, console) if console.is_terminal else contextlib.nullcontext():
        while True:
            try:
                state, events = sight.changes(backend.look(run_id))
            except Exception as error:
                if not is_transient(error):
                    raise
                away = time.monotonic() - answered
                if away > pace.patience:
                    sight.error = reason(error)
                    state = None
                    break
                events, shown = [], f"no answer ({type(error).__name__}), asking again"
            else:
                answered = time.monotonic()
                shown = _PHASES.get(state, "")
            if shown != phase:
                phase = shown
                events.append(Event("phase", text=phase))
            for event in events:
                table.apply(event)
                if not console.is_terminal and (event.kind != "phase" or event.text):
                    print_line(console, event)
            if state in ENDED:
                break
            moved = any(event.kind == "stage" for event in events)
            pause = pace.first if moved else min(pause * 1.5, pace.longest)
            time.sleep(pause)
    if console.is_terminal:
        console.print(table)
    return state, sight


def show(backend: Backend, run_id: str, stages: Collection[str], console: Console) -> RunState:
    """Prints a run's stages as they stand; the run's state."""
    table, sight = StageTable(), Sight(stages)
    table.apply(Event("plan", nodes=list(stages)))
    state, events = sight.changes(retried(lambda: backend.look(run_id)))
    for event in events:
        table.apply(event)
    console.print(table)
    return state


def _event(name: str, stage: Stage) -> Event:
    return Event("stage", node=name, state=stage.state, seconds=stage.seconds, text=stage.text)

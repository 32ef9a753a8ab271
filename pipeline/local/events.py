"""What the process that runs the stages tells the one that shows them: JSON lines over a pipe."""

import dataclasses
import json
import os
from typing import Any, Literal

State = Literal["waiting", "running", "done", "cached", "failed", "skipped", "stopped"]


@dataclasses.dataclass(frozen=True)
class Event:
    """One message.

    ``kind`` is ``phase`` (``text`` says what is being prepared), ``plan`` (``nodes`` in order, and
    ``edges`` from each to those that wait for it),
    ``stage`` (``node`` entered ``state``; ``text`` is what came of it), ``progress`` (``text`` is
    the newest line of a running ``node``), ``decision`` (``text``; ``ok``) or ``error`` (``text``
    for people, ``detail`` the traceback).
    """

    kind: Literal["phase", "plan", "stage", "progress", "decision", "error"]
    text: str = ""
    node: str = ""
    state: State = "waiting"
    seconds: float = 0.0
    nodes: list[str] = dataclasses.field(default_factory=list)
    edges: list[list[str]] = dataclasses.field(default_factory=list)
    detail: str = ""
    ok: bool = True

    def to_json(self) -> str:
        """One line without its end."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Event":
        """Reads what to_json wrote."""
        fields: dict[str, Any] = json.loads(line)
        return cls(**fields)


class EventWriter:
    """The sending end. A reader that has gone is no reason to fail: the log has it all."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, event: Event) -> None:
        """Sends one event; a write below PIPE_BUF is atomic, a longer one is cut first."""
        line = event.to_json()
        if len(line) > 60_000:
            line = dataclasses.replace(
                event, text=event.text[:4_000], detail=event.detail[-40_000:]
            ).to_json()
        data = line.encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BrokenPipeError:
            pass

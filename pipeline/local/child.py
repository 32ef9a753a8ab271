"""The process that runs the stages.

It writes nothing to a terminal: what it logs goes to the run's log, what libraries print to the
run's output file, and what people should see goes as events to the process that started it. It
ends when that process ends, however it ends.
"""

import contextlib
import ctypes
import json
import logging
import os
import pathlib
import re
import signal
import sys
import traceback
from typing import Any

from components.ingest import room
from pipeline.local import logs, lost_worker
from pipeline.local.events import Event, EventWriter

_PR_SET_PDEATHSIG = 1
_PACKAGES = ("components", "pipeline", "serving", "trainer")
# The system's words, and SQLite's (ML Metadata).
_NO_ROOM = (*map(os.strerror, room.NO_ROOM), "database or disk is full")
_WHERE = re.compile(r" \[while running '.*")
_OURS = re.compile(
    rf"^(?:{'|'.join(_PACKAGES)})\.[\w.]+Error: (.+?)(?:{_WHERE.pattern})?$", re.MULTILINE
)


def main(folder: str, descriptor: str) -> int:
    """Runs what ``plan.json`` in the run's folder asks for.

    Args:
      folder: the run's folder.
      descriptor: the number of the file descriptor that events go to.

    Returns:
      0, or 1 if a stage failed.
    """
    _end_with_parent()
    run_folder = pathlib.Path(folder)
    plan: dict[str, Any] = json.loads((run_folder / "plan.json").read_text(encoding="utf-8"))
    formatter = logs.log_to(run_folder / "log.jsonl", plan["run_id"])
    events = EventWriter(int(descriptor))

    def lost(error: lost_worker.WorkerLostError) -> None:
        logging.error("%s", error)
        events.send(Event("error", text=str(error), node=formatter.node, ok=False))
        _end_all(1)

    lost_worker.watch_workers(lost)
    try:
        # TFX is imported here and not above: it takes ten seconds and more, and the events that
        # tell so must come first.
        from pipeline.local import stages

        stages.run(plan, events, formatter)
    except Exception as error:
        logging.exception("The run failed.")
        events.send(
            Event(
                "error",
                text=message(error, run_folder),
                detail=traceback.format_exc(),
                node=formatter.node,
                ok=False,
            )
        )
        return 1
    return 0


def message(error: BaseException, folder: pathlib.Path | None = None) -> str:
    """The words of an error that is told for people, however it was wrapped.

    Beam hands on what fails inside its workers as text, with a traceback before the words and the
    transform's name behind them. A full disk is told by many libraries, few of which say where.

    Args:
      error: what was raised.
      folder: where the run keeps its data, if it is a local one.
    """
    text = _words(error)
    if any(said in text for said in _NO_ROOM) and "run.directory" not in text:
        where = f" ({folder}: {room.free(str(folder))})" if folder else ""
        text += f"{where}. Make room on the disk, or let run.directory in the settings name another"
    return text


def _words(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__module__.split(".")[0] in _PACKAGES:
            return _WHERE.sub("", str(seen))
        seen = seen.__cause__ or seen.__context__
    told = _OURS.findall(str(error))
    return str(told[-1]) if told else f"{type(error).__name__}: {error}"


def _end_with_parent() -> None:
    """Ends this process and what it started when the one that shows the run is gone."""
    signal.signal(signal.SIGTERM, lambda signum, frame: _end_all(128 + signum))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:
            raise SystemExit("the process that started this run is gone")


def _end_all(code: int) -> None:
    """Ends this process and what it started."""
    with contextlib.suppress(ValueError):  # Another thread than the main one sets no handler.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    os._exit(code)


if __name__ == "__main__":
    # os._exit: TensorFlow's and Beam's threads can hold up an ordinary exit for seconds.
    code = main(*sys.argv[1:])
    logging.shutdown()
    os._exit(code)

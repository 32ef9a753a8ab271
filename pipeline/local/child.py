"""The process that starts the stages, each in a process of its own.

It writes nothing to a terminal: what it logs goes to the run's log, what libraries print to the
run's output file, and what people should see goes as events to the process that started it. It
ends when that process ends, however it ends.
"""

import json
import logging
import os
import pathlib
import signal
import sys
import traceback
from typing import Any

from components.parent import end_with_parent
from pipeline.local import logs
from pipeline.local.errors import message
from pipeline.local.events import Event, EventWriter
from pipeline.local.imports import quick_imports
from pipeline.local.stage import StageError


def main(folder: str, descriptor: str, parent: str) -> int:
    """Runs what ``plan.json`` in the run's folder asks for.

    Args:
      folder: the run's folder.
      descriptor: the number of the file descriptor that events go to.
      parent: the process that started this one.

    Returns:
      0, or 1 if a stage failed.
    """
    _end_together(int(parent))
    run_folder = pathlib.Path(folder)
    plan: dict[str, Any] = json.loads((run_folder / "plan.json").read_text(encoding="utf-8"))
    formatter = logs.log_to(run_folder / "log.jsonl", plan["run_id"])
    events = EventWriter(int(descriptor))
    try:
        # TFX is imported here and not above: it takes ten seconds and more, and the events that
        # tell so must come first.
        with quick_imports():
            from pipeline.local import stages
        stages.run(plan, events, formatter)
    except StageError as error:
        stage = error.stage
        events.send(
            Event("error", text=stage.error, detail=stage.detail, node=stage.node, ok=False)
        )
        # Workers of a stage that was killed may still be at work.
        _end_all(1)
    except Exception as error:
        logging.exception("The run failed.")
        told = message(error, run_folder)
        events.send(Event("error", text=told, detail=traceback.format_exc(), ok=False))
        return 1
    return 0


def _end_together(parent: int) -> None:
    """Ends this process and what it started when the one that shows the run is gone."""
    signal.signal(signal.SIGTERM, lambda signum, frame: _end_all(128 + signum))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)


def _end_all(code: int) -> None:
    """Ends this process and what it started."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    os._exit(code)


if __name__ == "__main__":
    # os._exit: TensorFlow's and Beam's threads can hold up an ordinary exit for seconds.
    code = main(*sys.argv[1:])
    logging.shutdown()
    os._exit(code)

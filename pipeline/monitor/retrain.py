"""A run that is started because something moved; not again and again for one cause."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from components.ingest.durations import format_instant, parse_instant
from pipeline.monitor.comparison import Comparison
from serving.folders import write_atomically

_WORDS = {"run": ["run"], "submit": ["submit", "--no-wait"]}


def retrain(
    how: Literal["run", "submit"],
    settings_path: str,
    record: Path,
    now: int,
    every: int,
    moved: Sequence[Comparison],
) -> str:
    """Starts a run, unless the last one lies too short a time back.

    Args:
      how: ``run`` here, to its end; ``submit`` to where the settings' cluster is.
      settings_path: the settings file.
      record: the file that remembers the last start. It is written before the run begins, so that
        a run that fails is not started again at the next look.
      now: the time, microseconds.
      every: how much time lies at least between two, microseconds.
      moved: why.

    Returns:
      What was done, in a sentence.
    """
    if record.exists():
        last = json.loads(record.read_text(encoding="utf-8"))["at"]
        again = parse_instant(last) + every
        if now < again:
            return (
                f"No retrain: one was started at {last}, and the next may be from "
                f"{format_instant(again)} on (monitoring.drift.retrain_every)"
            )
    why = [f"{one.feature} ({one.kind})" for one in moved]
    write_atomically(record, json.dumps({"at": format_instant(now), "why": why}, indent=2) + "\n")
    words = [sys.executable, "-m", "pipeline", "--settings", settings_path, *_WORDS[how]]
    done = subprocess.run(words, check=False).returncode
    if done:
        return f"The retrain (pipeline {' '.join(_WORDS[how])}) ended with {done}"
    return "A retrain was started" if how == "submit" else "A retrain was made"

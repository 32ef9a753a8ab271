"""Starts the mirror in a process of its own, and tells in words what came of it."""

import importlib.util
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.registry import standing
from serving.registry.connect import MISSING
from serving.releases import Releases

ROOT = Path(__file__).resolve().parents[2]

_LOG = logging.getLogger("serving.registry")


class Mirror:
    """A hook of the release record: starts the mirror after each event and does not wait.

    Args:
      folder: the served model's folder.
      registry: what stands under ``registry:``; the process that it starts checks it, so that a
        rollback need not.
    """

    def __init__(self, folder: str | Path, registry: Mapping[str, Any]) -> None:
        self._folder = Path(folder)
        self._registry = registry
        self._started: list[subprocess.Popen[bytes]] = []

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Starts it: it reads the record by itself, so no event is ever missed for good."""
        self._started = [process for process in self._started if process.poll() is None]
        before = standing.read(self._folder)
        if before.error:
            _LOG.warning("MLflow could not be told (%s): %s", before.at, before.error)
        command = _command(self._folder, self._registry)
        if command is None:
            standing.failed(self._folder, MISSING)
            return
        self._started.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                # It outlives the command that started it.
                start_new_session=True,
            )
        )

    def follows(self) -> str:
        """What a command tells that does not wait; empty if nothing happened."""
        error = standing.read(self._folder).error
        if not self._started:
            return f"MLflow is not told: {error}" if error else ""
        last = f" The last time it could not be told: {error}." if error else ""
        return f"MLflow follows in the background.{last}"

    def wait(self, seconds: float) -> str:
        """Waits for what was started, but not for ever: it goes on by itself.

        Args:
          seconds: the most to wait.

        Returns:
          What the registry does not know, in words; empty if it is up to date. It is logged.
        """
        deadline = time.monotonic() + seconds
        for process in self._started:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                break
        told = standing.behind(Releases(self._folder))
        if told:
            _LOG.warning("%s", told)
        return told


def ask(folder: str | Path, registry: Mapping[str, Any], verb: str, seconds: float) -> str:
    """Runs the mirror and waits for it.

    Args:
      folder: the served model's folder.
      registry: what stands under ``registry:``.
      verb: ``sync`` makes the registry equal to the record; ``reach`` only looks whether it
        answers.
      seconds: the most to wait.

    Returns:
      What it says.

    Raises:
      RuntimeError: with the reason if it fails.
    """
    command = _command(Path(folder), registry, verb)
    if command is None:
        raise RuntimeError(MISSING)
    try:
        done = subprocess.run(
            command,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"MLflow did not answer within {seconds:g} s") from None
    said = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()
    last = said[-1] if said else f"exit code {done.returncode}"
    if done.returncode:
        raise RuntimeError(last)
    return last


def interpreter() -> str | None:
    """The Python that has MLflow: the environment made for it, else this one; None if neither."""
    own = ROOT / ".tools" / "mlflow" / "bin" / "python"
    if own.exists():
        return str(own)
    return sys.executable if importlib.util.find_spec("mlflow") else None


def _command(folder: Path, registry: Mapping[str, Any], verb: str = "") -> list[str] | None:
    python = interpreter()
    if python is None:
        return None
    arguments = [str(folder), json.dumps(dict(registry), default=str)]
    return [python, "-m", "serving.registry", *arguments, *([verb] if verb else [])]


def _environment() -> dict[str, str]:
    # Only the project: the packages on an inherited path may be of another Python.
    return {**os.environ, "PYTHONPATH": str(ROOT)}

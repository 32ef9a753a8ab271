"""Starts the process that runs the stages and hands on its events."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from pipeline.local.events import Event

GRACE_SECONDS = 10.0


class StagesProcess:
    """The child process and its events."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Starts it.

        Args:
          folder: the run's folder, with ``plan.json``.
        """
        reading, writing = os.pipe()
        environment = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1"),
            "PYTHONUNBUFFERED": "1",
            # Beam parses its options again and again, and argparse asks for each of hundreds how
            # wide the terminal is.
            "COLUMNS": "80",
            "LINES": "24",
            # … and looks for translations of its words.
            "LANGUAGE": "C",
            # Models and TFMA have Keras 2. TensorFlow would load Keras 3 too, with Matplotlib and
            # scikit-learn.
            "TF_USE_LEGACY_KERAS": os.environ.get("TF_USE_LEGACY_KERAS", "1"),
            # Stages that run at once share a GPU's memory.
            "TF_FORCE_GPU_ALLOW_GROWTH": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "true"),
            # Beam's worker processes find the project's packages by this.
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(pathlib.Path.cwd()), os.environ.get("PYTHONPATH")])
            ),
        }
        command = [sys.executable, "-m", "pipeline.local.child", str(folder), str(writing)]
        with (folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [*command, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writing],
                env=environment,
                # A group of its own: Ctrl-C reaches this process only, which stops the run cleanly.
                start_new_session=True,
            )
        os.close(writing)
        self._events = os.fdopen(reading, encoding="utf-8")

    def events(self) -> Iterator[Event]:
        """The events until the process has ended."""
        for line in self._events:
            yield Event.from_json(line)

    def wait(self) -> int:
        """Waits for the end; the exit code, negative where a signal ended it."""
        return self._process.wait()

    def stop(self) -> None:
        """Ends the process and all it started: asks first, and after a while does not."""
        for stop_signal, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self._process.pid, stop_signal)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and self._alive():
                time.sleep(0.05)
        self._process.wait()

    def _alive(self) -> bool:
        """Whether it or a stage's process is left; they are one group."""
        self._process.poll()
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

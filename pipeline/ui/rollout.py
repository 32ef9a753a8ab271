"""The verb ``rollout``, started from the page: it watches in a process of its own."""

import subprocess
import sys
import threading
from collections.abc import Sequence


class Rollout:
    """One rollout at a time; the record's own lock keeps others out too.

    Args:
      settings_path: the settings file.
      options: the verb's, such as ``--prometheus http://prometheus:9090``.

    Attributes:
      command: what Python is called with.
      said: the newest line that it told; empty before the first.
    """

    def __init__(self, settings_path: str, options: Sequence[str]) -> None:
        self.command = ["-m", "pipeline", f"--settings={settings_path}", "rollout", *options]
        self.said = ""
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether it watches."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> bool:
        """Starts it; False if it is running already."""
        with self._lock:
            if self.running:
                return False
            self.said = ""
            self._process = subprocess.Popen(
                [sys.executable, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # Ctrl-C reaches it once, by stop().
                start_new_session=True,
            )
            threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
            return True

    def stop(self) -> None:
        """Ends it; the trial stands as it is."""
        with self._lock:
            if self._process is not None and self.running:
                # It may be ended at any time: all that it knows is on the disk.
                self._process.terminate()
                self._process.wait()
                self.said = "It was stopped. The trial stands as it is."

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self.said = line.strip() or self.said

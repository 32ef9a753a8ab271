"""A worker's side of what launcher and workers tell each other over a shared folder."""

import faulthandler
import logging
import os
import pathlib
import threading
import time

from components.distributed_trainer.launch.signs import FailureFile, Sign, Signs, pause


class Beacon:
    """A thread that hands on this worker's heartbeat, and ends it once its launcher is gone.

    The trainer touches a local file after each batch; the shared one is written more seldom, since
    a bucket takes one write a second and object.
    """

    def __init__(
        self, signs: Signs, index: int, heartbeat: pathlib.Path, orphan_after: float, code: int
    ) -> None:
        """Makes it.

        Args:
          signs: of this attempt.
          index: which worker this is.
          heartbeat: the file that the trainer touches.
          orphan_after: seconds without a sign of the launcher.
          code: what this process ends with then.
        """
        self._signs, self._index, self._heartbeat = signs, index, heartbeat
        self._orphan_after, self._code = orphan_after, code

    def start(self) -> None:
        """Starts the thread, and keeps last words from now on."""
        logging.getLogger().addHandler(FailureFile(self._signs, self._index))
        threading.Thread(target=self._run, name="beacon", daemon=True).start()

    def _run(self) -> None:
        own = self._signs.worker(self._index)
        beat, asked, lost = 0, False, ""
        while (silence := self._signs.launcher.silence()) <= self._orphan_after:
            try:
                beat = self._hand_on(own, beat)
                if self._signs.stacks_are_asked_for and not asked:
                    asked = True
                    faulthandler.dump_traceback(all_threads=True)
                lost = ""
            except OSError as error:
                # A volume may be away for a while; the launcher's silence counts on meanwhile.
                if str(error) != lost:
                    logging.warning("The shared folder cannot be used: %s", error)
                lost = str(error)
            time.sleep(pause(self._orphan_after))
        logging.error("No sign of the launcher for %.0f s: this worker ends.", silence)
        # Not by a signal: in a container this is process 1, which the kernel spares.
        os._exit(self._code)

    def _hand_on(self, own: Sign, before: int) -> int:
        beat = self._heartbeat.stat().st_mtime_ns if self._heartbeat.exists() else 0
        if beat != before:
            own.give(beat)
        return beat

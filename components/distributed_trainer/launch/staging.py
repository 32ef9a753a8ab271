"""A job's files where workers on other machines see them, and what they made back again."""

import contextlib
import hashlib
import logging
import os
import pathlib
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence

from components.distributed_trainer.launch.job import OUTPUTS, Job, TrainingFailed
from components.distributed_trainer.launch.signs import Signs, pause
from components.distributed_trainer.settings import ClusterWorkers
from components.ingest.paths import is_remote

SEEN_AFTER = 90.0
"""Seconds: NFS and Cloud Storage FUSE may say for a minute that what another machine has just made
is not there."""


class Stage:
    """A job in the folder that all workers share.

    Attributes:
      job: the job as workers see it.
    """

    def __init__(self, job: Job, seen: Sequence[str]) -> None:
        """Makes the folder and copies inputs into it, each once: a restarted run finds them.

        Args:
          job: with places as this machine sees them; its ``scratch`` is shared.
          seen: folders below which workers see the same files at the same place.

        Raises:
          TrainingFailed: if this machine cannot write there.
        """
        self._own = job
        self._scratch = pathlib.Path(job.scratch)
        self._seen = tuple(f"{folder.rstrip('/')}/" for folder in seen)
        outputs = {job.fn_args[name] for name in OUTPUTS if job.fn_args.get(name)}
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            # What an earlier launcher's workers left half made.
            shutil.rmtree(self._scratch / "outputs", ignore_errors=True)
            self.job = job.moved(
                lambda place: self._output(place) if place in outputs else self._input(place),
                job.scratch,
            )
            self.file.write_text(self.job.to_json(), encoding="utf-8")
        except OSError as error:
            raise TrainingFailed(
                f"training.workers.shared is {str(self._scratch.parent)!r}, which cannot be used "
                f"here: {error}. Expected a folder on a volume that this machine mounts, too, at "
                "the same place, and may write to"
            ) from error

    @property
    def file(self) -> pathlib.Path:
        """What workers are told by ``--job``."""
        return self._scratch / "job.json"

    @contextlib.contextmanager
    def attempt(self, settings: ClusterWorkers) -> Iterator[tuple[str, Signs, list[str]]]:
        """Within it the launcher is known to live.

        Yields:
          The attempt's name, its signs, and what each worker executes.
        """
        name = secrets.token_hex(4)
        signs = Signs(self._scratch / f"attempt-{name}")
        orphan_after = settings.orphan_timeout / 1e6
        command = [
            *("python", "-m", "components.distributed_trainer.worker"),
            *("--job", str(self.file)),
            *("--signs", str(signs.folder)),
            *("--orphan-after", f"{orphan_after:g}"),
        ]
        signs.folder.mkdir()
        try:
            with signs.living(pause(orphan_after)):
                yield name, signs, command
        finally:
            shutil.rmtree(signs.folder, ignore_errors=True)

    def bring_back(self) -> None:
        """Copies what the workers made to where it belongs."""
        model = pathlib.Path(self.job.fn_args["serving_model_dir"])
        deadline = time.monotonic() + SEEN_AFTER
        while not model.exists() and time.monotonic() < deadline:
            time.sleep(0.5)
        for name in OUTPUTS:
            there, here = self.job.fn_args.get(name), self._own.fn_args.get(name)
            if there and here and there != here and pathlib.Path(there).exists():
                shutil.copytree(there, here, dirs_exist_ok=True)

    def _is_seen(self, place: str) -> bool:
        return is_remote(place) or place.startswith(self._seen)

    def _output(self, place: str) -> str:
        return place if self._is_seen(place) else str(self._place("outputs", place))

    def _input(self, place: str) -> str:
        if self._is_seen(place):
            return place
        path = pathlib.Path(place)
        for found in [path] if path.exists() else sorted(path.parent.glob(path.name)):
            _copy_once(found, self._place("inputs", str(found)))
        return str(self._place("inputs", place))

    def _place(self, kind: str, place: str) -> pathlib.Path:
        folder, name = os.path.split(place.rstrip("/"))
        return self._scratch / kind / hashlib.sha256(folder.encode()).hexdigest()[:8] / name


def _copy_once(source: pathlib.Path, target: pathlib.Path) -> None:
    if target.exists():
        return
    logging.info("Copying %s for the workers", source)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, partial)
    partial.replace(target)

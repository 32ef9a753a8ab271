"""The launcher ``vertex``."""

import contextlib
import dataclasses
import logging
import re
import time

from components.distributed_trainer.launch.attempts import Failure, hang, until_done
from components.distributed_trainer.launch.job import Job, TrainingFailed
from components.distributed_trainer.launch.lines import FAILURE
from components.distributed_trainer.launch.signs import Sign, Signs, pause
from components.distributed_trainer.launch.staging import Stage
from components.distributed_trainer.launch.stopping import undone_on_sigterm
from components.distributed_trainer.launch.vertex.jobs import (
    ENDED,
    PASSING,
    CustomJob,
    Jobs,
    State,
)
from components.distributed_trainer.launch.vertex.request import custom_job
from components.distributed_trainer.settings import VertexWorkers
from components.distributed_trainer.worker import TRANSIENT_ERRORS

_BUCKETS = "/gcs"
# As Vertex AI puts it: "The replica workerpool1-0 exited with a non-zero status of 1."
_STATUS = re.compile(r"non-zero status of (\d+)")


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long what takes, in seconds.

    Attributes:
      tick: between two looks.
      patience: how long Vertex AI may not answer while workers train.
      gone: how long a cancelled job may take to end.
    """

    tick: float = 10.0
    patience: float = 900.0
    gone: float = 300.0


class Vertex:
    """Trains on machines of Vertex AI. Their logs are in Cloud Logging; a link is logged here."""

    def __init__(
        self, settings: VertexWorkers, jobs: Jobs | None = None, pace: Pace | None = None
    ) -> None:
        """Makes a launcher.

        Args:
          settings: the workers'.
          jobs: where; None for the project and region that settings name.
          pace: how long what takes.
        """
        self._settings, self._jobs, self._pace = settings, jobs, pace or Pace()

    def run(self, job: Job) -> None:
        """See ``Launcher.run``."""
        settings = self._settings
        assert settings.project is not None and settings.region is not None
        jobs = self._jobs or Jobs(settings.project, settings.region)
        with undone_on_sigterm():
            stage = Stage(job, [_BUCKETS])
            try:
                until_done(lambda: self._attempt(jobs, stage), settings.restarts)
            except PASSING as error:
                raise TrainingFailed(f"Vertex AI does not answer: {error}") from error
        stage.bring_back()

    def _attempt(self, jobs: Jobs, stage: Stage) -> Failure | None:
        key = stage.job.key
        if self._cancelled(jobs, key):
            logging.warning("Job training-%s was left behind by an earlier launcher", key)
        with stage.attempt(self._settings) as (attempt, signs, command):
            try:
                job = jobs.create(custom_job(key, attempt, stage.job.run, command, self._settings))
                logging.info("%s: its workers' logs are at %s", job.name, jobs.link(job.name))
                return self._watch(jobs, job, signs)
            finally:
                self._end(jobs, key)

    def _watch(self, jobs: Jobs, job: CustomJob, signs: Signs) -> Failure | None:
        began = heard = time.monotonic()
        beats: list[Sign] = []
        while job.state not in ENDED:
            time.sleep(self._pace.tick)
            now = time.monotonic()
            try:
                job, heard = jobs.get(job.name), now
            except PASSING as error:
                if now - heard > self._pace.patience:
                    raise TrainingFailed(
                        f"Vertex AI has told nothing for {now - heard:.0f} s: {error}"
                    ) from error
            if job.state == State.JOB_STATE_RUNNING:
                beats = beats or [signs.worker(i) for i in range(self._settings.count)]
                if failure := self._hung(beats, signs):
                    return failure
            elif job.state not in ENDED and now - began > self._settings.pending_timeout / 1e6:
                return Failure(
                    f"{job.name} has found no machines (training.workers.pending_timeout); "
                    f"{job.error.message or job.state.name}",
                    passing=False,
                )
        return self._why(jobs, job, signs)

    def _hung(self, beats: list[Sign], signs: Signs) -> Failure | None:
        for index, beat in enumerate(beats):
            silence = beat.silence()
            if failure := hang(self._settings, index, beat.is_given, silence):
                with contextlib.suppress(OSError):
                    signs.ask_for_stacks()
                time.sleep(1.5 * pause(self._settings.orphan_timeout / 1e6))
                return failure
        return None

    def _why(self, jobs: Jobs, job: CustomJob, signs: Signs) -> Failure | None:
        if job.state == State.JOB_STATE_SUCCEEDED:
            return None
        if job.state == State.JOB_STATE_CANCELLED:
            raise TrainingFailed(f"{job.name} was cancelled while it ran")
        if job.state == State.JOB_STATE_EXPIRED:
            return Failure(
                f"{job.name} took longer than it may (training.workers.timeout)", passing=False
            )
        logs = f"; its workers' logs are at {jobs.link(job.name)}"
        told = signs.failures(self._settings.count)
        if told:

            def is_passing(index: int) -> bool:
                return str(told[index][FAILURE]).partition(":")[0] in TRANSIENT_ERRORS

            first = min(told, key=lambda index: (is_passing(index), told[index]["created"]))
            who = f"worker {first} of {self._settings.count}"
            return Failure(f"{who} failed: {told[first][FAILURE]}{logs}", is_passing(first))
        status = _STATUS.search(job.error.message)
        return Failure(
            f"{job.name} failed: {job.error.message}{logs}",
            passing=status is not None and int(status[1]) > 128,
        )

    def _end(self, jobs: Jobs, key: str) -> None:
        """Sees that the job has ended; where it cannot, workers miss their launcher's sign."""
        try:
            self._cancelled(jobs, key)
        except (TrainingFailed, *PASSING) as error:
            logging.error(
                "%s\nJob training-%s is left behind. Its workers end by themselves in %.0f s",
                error,
                key,
                self._settings.orphan_timeout / 1e6,
            )

    def _cancelled(self, jobs: Jobs, key: str) -> bool:
        """Cancels a training's jobs and waits for their end; whether there were any.

        Raises:
          TrainingFailed: if it takes too long.
        """
        found = jobs.unfinished(key)
        for job in found:
            jobs.cancel(job.name)
        deadline = time.monotonic() + self._pace.gone
        while left := jobs.unfinished(key):
            if time.monotonic() > deadline:
                raise TrainingFailed(f"{left[0].name} is cancelled, and does not end")
            time.sleep(min(self._pace.tick, 1.0))
        return bool(found)

"""One attempt of a TFJob, watched from its creation to its end."""

import contextlib
import dataclasses
import queue
import time
from typing import Any

from kubernetes.client.exceptions import ApiException

from components.distributed_trainer.launch.attempts import Failure, hang
from components.distributed_trainer.launch.job import TrainingFailed
from components.distributed_trainer.launch.lines import FAILURE
from components.distributed_trainer.launch.signs import Sign, Signs, pause
from components.distributed_trainer.launch.tfjob import pods
from components.distributed_trainer.launch.tfjob.cluster import UNANSWERED, Cluster, refused
from components.distributed_trainer.launch.tfjob.follow import Change, Follower
from components.distributed_trainer.launch.tfjob.logs import PodLog
from components.distributed_trainer.settings import TfJobWorkers


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long what takes, in seconds.

    Attributes:
      tick: between two looks.
      window: how long a watch lasts.
      retry: between an error of the API server and the next request.
      patience: how long the API server may say nothing while workers train.
      grace: how long something may keep a pod from starting before it is believed.
      last_words: how long others get to end once a worker has, since one of them may have begun.
      gone: how long a deleted job's pods may take to end.
    """

    tick: float = 1.0
    window: float = 30.0
    retry: float = 1.0
    patience: float = 900.0
    grace: float = 60.0
    last_words: float = 5.0
    gone: float = 120.0


class Attempt:
    """Watches; starts and ends nothing."""

    def __init__(
        self, cluster: Cluster, name: str, settings: TfJobWorkers, signs: Signs, pace: Pace
    ) -> None:
        self._cluster, self._name, self._settings = cluster, name, settings
        self._signs, self._pace = signs, pace
        self._changes: queue.Queue[Change] = queue.Queue()
        self._job: dict[str, Any] | None = None
        self._pods: dict[str, pods.Pod] = {}
        self._pods_seen = False
        self._lost: list[pods.Trouble] = []
        self._logs: dict[str, PodLog] = {}
        self._beats: dict[int, Sign] = {}
        self._hindered: dict[str, float] = {}
        self._began = time.monotonic()

    def wait(self) -> Failure | None:
        """Waits for the end.

        Returns:
          Why it failed; None if it ended well.

        Raises:
          TrainingFailed: if the API server refuses to tell, or does not answer any more.
        """
        followers = [
            Follower(
                kind,
                lambda ask=ask, **how: ask(self._name, **how),
                self._changes,
                self._pace.window,
                self._pace.retry,
            )
            for kind, ask in (("job", self._cluster.jobs), ("pods", self._cluster.pods))
        ]
        for follower in followers:
            follower.start()
        try:
            while True:
                self._take()
                silent = max(follower.silence() for follower in followers)
                if silent > self._pace.patience:
                    raise TrainingFailed(
                        f"the cluster's API server has told nothing for {silent:.0f} s"
                    )
                if self._is("Succeeded"):
                    self._hear_last_words()
                    return None
                if self._has_failed():
                    self._hear_last_words()
                    # Of two watches one may be behind: a job that is done loses pods, too.
                    with contextlib.suppress(ApiException, *UNANSWERED):
                        self._see_job(self._cluster.job(self._name))
                    return None if self._is("Succeeded") else self._why()
                if failure := self._waiting() or self._hung():
                    return failure
        finally:
            for follower in followers:
                follower.stop()
            for log in self._logs.values():
                log.stop()

    def _take(self) -> None:
        """Takes in what has changed, waiting a tick for the first change."""
        seconds = self._pace.tick
        with contextlib.suppress(queue.Empty):
            while True:
                change = self._changes.get(timeout=seconds)
                seconds = 0.0
                if change.refused is not None:
                    what = {"job": "watch TFJobs", "pods": "watch pods"}[change.kind]
                    raise refused(what, self._cluster.namespace, change.refused)
                if change.kind == "job":
                    self._see_job(change.objects.get(self._name))
                else:
                    self._see_pods(change.objects)

    def _see_job(self, job: dict[str, Any] | None) -> None:
        if job is None:
            raise TrainingFailed(f"TFJob {self._name} was deleted while it ran")
        self._job = job

    def _see_pods(self, found: dict[str, pods.Pod]) -> None:
        for name, before in self._pods.items():
            now = found.get(name)
            if now is None or now["metadata"]["uid"] != before["metadata"]["uid"]:
                # The operator makes another in its place (common/pod.go), which finds peers that
                # wait for the old one.
                text = f"{self._who(before)}'s pod was deleted: its machine may have been drained"
                if not pods.has_ended(before):
                    self._lost.append(pods.Trouble(4, "", text, passing=True))
        self._pods, self._pods_seen = found, self._pods_seen or bool(found)
        for name, pod in found.items():
            if pods.has_started(pod) and name not in self._logs:
                self._logs[name] = PodLog(self._cluster, name, pods.index(pod), self._pace.retry)
                self._logs[name].start()
            if pods.has_ended(pod) and name in self._logs:
                self._logs[name].ended.set()

    def _is(self, condition: str) -> bool:
        return any(
            one["type"] == condition and one["status"] == "True" for one in self._conditions()
        )

    def _conditions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (self._job or {}).get("status", {}).get("conditions") or []
        return found

    def _has_failed(self) -> bool:
        failed = any(pod.get("status", {}).get("phase") == "Failed" for pod in self._pods.values())
        return failed or self._is("Failed") or bool(self._lost)

    def _hear_last_words(self) -> None:
        """Waits for all pods and their logs to end.

        A killed worker tells more than its victims, and may be seen later than they are.
        """
        deadline = time.monotonic() + self._pace.last_words
        while time.monotonic() < deadline and not (
            self._pods_seen and all(map(pods.has_ended, self._pods.values()))
        ):
            self._take()
        for name, log in self._logs.items():
            if name in self._pods and pods.has_ended(self._pods[name]):
                log.join(max(0.0, deadline - time.monotonic()))

    def _why(self) -> Failure:
        told = self._signs.failures(self._settings.count)
        found = list(self._lost)
        for name, pod in self._pods.items():
            words = told.get(pods.index(pod), {}).get(FAILURE)
            log = self._logs.get(name)
            trouble = pods.trouble(pod, self._who(pod), words, log.last_lines() if log else [])
            if trouble is not None:
                found.append(trouble)
        if found != self._lost or not self._is("Failed"):
            first = min(found, key=lambda one: (one.rank, one.at))
            return Failure(first.text, first.passing)
        # Nothing but its own end: it took longer than training.workers.timeout, for one.
        (condition,) = [one for one in self._conditions() if one["type"] == "Failed"]
        return Failure(
            f"TFJob {self._name} failed: {condition.get('message', condition.get('reason'))}",
            passing=False,
        )

    def _waiting(self) -> Failure | None:
        """What keeps workers from starting for too long."""
        now = time.monotonic()
        late = now - self._began > self._settings.pending_timeout / 1e6
        if not self._pods and late:
            return Failure(
                f"no pod of TFJob {self._name} has appeared (training.workers.pending_timeout): is "
                "the training operator running, and does a quota allow them?",
                passing=False,
            )
        for name, pod in self._pods.items():
            why = None if pods.has_started(pod) else pods.hindered(pod)
            if why is None:
                self._hindered.pop(name, None)
            elif now - self._hindered.setdefault(name, now) >= self._pace.grace:
                return Failure(f"{self._who(pod)} does not start: {why}", passing=False)
            if late and not pods.has_started(pod):
                return Failure(
                    f"{self._who(pod)} does not start: {pods.pending(pod)} "
                    "(training.workers.pending_timeout)",
                    passing=False,
                )
        return None

    def _hung(self) -> Failure | None:
        """Which worker says nothing, counted from when all have started."""
        running = list(self._pods.values())
        if len(running) < self._settings.count or not all(map(pods.has_started, running)):
            return None
        for pod in running:
            index = pods.index(pod)
            beat = self._beats.setdefault(index, self._signs.worker(index))
            silence = beat.silence()
            failure = hang(self._settings, index, beat.is_given, silence)
            if failure is not None and not pods.has_ended(pod):
                with contextlib.suppress(OSError):
                    self._signs.ask_for_stacks()
                # Until they have looked, and a little longer.
                time.sleep(1.5 * pause(self._settings.orphan_timeout / 1e6))
                return failure
        return None

    def _who(self, pod: pods.Pod) -> str:
        number, name = pods.index(pod), pod["metadata"]["name"]
        return f"worker {number} of {self._settings.count} ({name})"

"""What stands behind the API server: the training operator's reconciling, and pods.

After pkg/controller.v1 of kubeflow/training-operator v1.9.0.
"""

import asyncio
import contextlib
import copy
import datetime
import json
import os
import pathlib
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

from components.distributed_trainer.launch.loopback import free_ports

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Clock:
    """Versions of what there is, and who waits for the next one."""

    def __init__(self) -> None:
        self.version = 100
        self._moved = asyncio.Event()

    def tick(self) -> int:
        self.version += 1
        self._moved.set()
        self._moved = asyncio.Event()
        return self.version

    async def wait(self, seen: int, seconds: float) -> None:
        if self.version <= seen:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._moved.wait(), seconds)


class Table:
    """Objects of one kind, and all that happened to them."""

    def __init__(self, clock: Clock) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self._clock = clock

    def put(self, item: dict[str, Any]) -> None:
        name = item["metadata"]["name"]
        self._tell("MODIFIED" if name in self.items else "ADDED", item)
        self.items[name] = item

    def drop(self, name: str) -> None:
        if name in self.items:
            self._tell("DELETED", self.items.pop(name))

    def _tell(self, kind: str, item: dict[str, Any]) -> None:
        version = self._clock.tick()
        item["metadata"]["resourceVersion"] = str(version)
        self.events.append((version, kind, copy.deepcopy(item)))


class Operator:
    """Jobs and pods.

    Attributes:
      plays: what becomes of the pods of each job that is created, in turn: called with this and the
        job's name, in the server's thread.
      logs: by pod its lines, each with its time.
      seen: the requests that the API server got.
      started: the processes that were started.
    """

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen
        self.clock = Clock()
        self.jobs, self.pods = Table(self.clock), Table(self.clock)
        self.plays: list[Callable[[Operator, str], Any]] = []
        self.logs: dict[str, list[str]] = {}
        self.started: list[subprocess.Popen[str]] = []
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._loop = asyncio.get_event_loop()
        self._lines = 0

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        job = copy.deepcopy(body)
        job["metadata"] |= {"uid": str(uuid.uuid4())}
        self.jobs.put(job)
        self._condition(job, "Created", "TFJob is created.")
        for replica, spec in job["spec"]["tfReplicaSpecs"].items():
            for index in range(spec["replicas"]):
                self.make_pod(job, replica, index)
        if self.plays:
            self._loop.call_soon(self.plays.pop(0), self, body["metadata"]["name"])
        return job

    def make_pod(self, job: dict[str, Any], replica: str, index: int) -> None:
        spec, name = job["spec"]["tfReplicaSpecs"][replica], job["metadata"]["name"]
        template = copy.deepcopy(spec["template"])
        template["spec"]["restartPolicy"] = spec["restartPolicy"]
        labels = {
            "training.kubeflow.org/job-name": name,
            "training.kubeflow.org/replica-type": replica.lower(),
            "training.kubeflow.org/replica-index": str(index),
        }
        metadata = {
            "name": f"{name}-{replica.lower()}-{index}",
            "uid": str(uuid.uuid4()),
            "labels": {**template["metadata"]["labels"], **labels},
        }
        pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
        self.pods.put(pod)

    def delete(self, name: str) -> None:
        self.jobs.drop(name)
        for pod in self.of(name):
            self.remove(pod)

    def remove(self, pod: str) -> None:
        process = self._processes.pop(pod, None)
        if process is not None:
            process.kill()
        self.pods.drop(pod)

    def of(self, name: str) -> list[str]:
        """The pods of a job, the chief first."""
        label = "training.kubeflow.org/job-name"
        mine = [
            p for p, item in self.pods.items.items() if item["metadata"]["labels"][label] == name
        ]
        return sorted(mine)

    def once(self, is_so: Callable[[], bool], *steps: Callable[[], Any]) -> None:
        """Takes steps as soon as something is so."""
        if is_so():
            for step in steps:
                step()
        else:
            self._loop.call_later(0.02, self.once, is_so, *steps)

    def has_ended(self, pod: str) -> bool:
        item = self.pods.items.get(pod)
        return item is None or item["status"]["phase"] in ("Succeeded", "Failed")

    def status(self, pod: str, **status: Any) -> None:
        """Sets fields of a pod's status."""
        item = copy.deepcopy(self.pods.items[pod])
        item["status"] |= status
        self.pods.put(item)

    def wait(self, pod: str, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        self.status(pod, containerStatuses=[{"name": "tensorflow", "state": state}])

    def start(self, name: str) -> None:
        """All pods of a job run."""
        for pod in self.of(name):
            state = {"running": {"startedAt": now()}}
            self.status(
                pod, phase="Running", containerStatuses=[{"name": "tensorflow", "state": state}]
            )

    def log(self, pod: str, line: str) -> None:
        self._lines += 1
        stamp = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%S.%f}"
        self.logs.setdefault(pod, []).append(f"{stamp}{self._lines % 1000:03d}Z {line}")
        self.clock.tick()

    def finish(self, pod: str, code: int, reason: str = "", **status: Any) -> None:
        """A pod's container ends; the operator looks at the job."""
        ended = {"exitCode": code, "reason": reason or ("Error" if code else "Completed")}
        state = {"terminated": {**ended, "finishedAt": now()}}
        phase = "Failed" if code else "Succeeded"
        statuses = [{"name": "tensorflow", "state": state}]
        self.status(pod, **{"phase": phase, "containerStatuses": statuses, **status})
        self.reconcile(pod)

    def reconcile(self, pod: str) -> None:
        name = self.pods.items[pod]["metadata"]["labels"]["training.kubeflow.org/job-name"]
        phases = {one: self.pods.items[one]["status"]["phase"] for one in self.of(name)}
        if phases.get(f"{name}-chief-0") == "Succeeded":
            self.end_job(name, "Succeeded", "TFJob successfully completed.")
        elif "Failed" in phases.values():
            self.end_job(name, "Failed", "TFJob has failed because 1 replica(s) failed.")

    def end_job(self, name: str, kind: str, message: str) -> None:
        """Sets a condition that ends the job, and cleans up as cleanPodPolicy Running says."""
        job = self.jobs.items[name]
        assert job["spec"]["runPolicy"]["cleanPodPolicy"] == "Running"
        self._condition(job, kind, message)
        for pod in self.of(name):
            if not self.has_ended(pod):
                self.remove(pod)

    def _condition(self, job: dict[str, Any], kind: str, message: str) -> None:
        job = copy.deepcopy(job)
        conditions = job.setdefault("status", {}).setdefault("conditions", [])
        conditions.append({"type": kind, "status": "True", "reason": kind, "message": message})
        self.jobs.put(job)

    def run(self, name: str) -> None:
        """Starts a process for each pod, with what the pod would be given and nothing else.

        TF_CONFIG is the operator's (tensorflow.go, genTFConfigJSONStr), but for the names of
        services, which only a cluster resolves.
        """
        pods = self.of(name)
        addresses = [f"127.0.0.1:{port}" for port in free_ports(len(pods))]
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
        self.start(name)
        for pod in pods:
            item = self.pods.items[pod]
            (container,) = item["spec"]["containers"]
            labels = item["metadata"]["labels"]
            task = {
                "type": labels["training.kubeflow.org/replica-type"],
                "index": int(labels["training.kubeflow.org/replica-index"]),
            }
            config = {"cluster": cluster, "task": task, "environment": "cloud"}
            environment = {one["name"]: one["value"] for one in container["env"]}
            process = subprocess.Popen(
                [sys.executable, *container["command"][1:]],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **environment, "TF_CONFIG": json.dumps(config)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._processes[pod] = process
            self.started.append(process)
            threading.Thread(target=self._follow, args=(pod, process), daemon=True).start()

    def _follow(self, pod: str, process: subprocess.Popen[str]) -> None:
        def call(what: Callable[..., Any], *arguments: Any) -> None:
            with contextlib.suppress(RuntimeError):  # The server has stopped.
                self._loop.call_soon_threadsafe(what, *arguments)

        for line in process.stdout:
            call(self.log, pod, line.rstrip("\n"))
        code = process.wait()
        call(self._finished, pod, process, 128 - code if code < 0 else code)

    def _finished(self, pod: str, process: subprocess.Popen[str], code: int) -> None:
        if self._processes.get(pod) is process:
            self.finish(pod, code)

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()


def now() -> str:
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"

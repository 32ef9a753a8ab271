"""The part of Vertex AI's REST API that has custom jobs, as google-cloud-aiplatform reads it."""

import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf import json_format

from components.distributed_trainer.launch.loopback import free_ports
from tests.pipeline.kubeflow.submit.vertex_api import VertexApi, _error

ROOT = pathlib.Path(__file__).resolve().parents[3]
PARENT = "projects/plant/locations/europe-west4"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


class CustomJobsApi(VertexApi):
    """A stand-in that refuses what is no CustomJob.

    Attributes:
      jobs: by name.
      plays: the states of each job that is created, in turn, one for each look; the last stays. An
        entry may be a state and an error's message. ``None`` starts the workers as processes.
      failing: for requests to come, by method the statuses that answer them.
      seen: the requests, ``METHOD verb``.
    """

    def __init__(self) -> None:
        self.plays: list[Any] = []
        self.failing: dict[str, list[int]] = {}
        self.seen: list[str] = []
        self._states: dict[str, list[Any]] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        super().__init__()

    def stop(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
        super().stop()

    def handle(self, method: str, target: str, body: dict[str, Any]) -> tuple[int, dict]:
        url = urllib.parse.urlsplit(target)
        name, _, verb = url.path.removeprefix("/v1/").partition(":")
        self.seen.append(f"{method} {verb}".strip())
        status = self.failing[method].pop(0) if self.failing.get(method) else 0
        if status and status != 599:
            return status, _error(status, "denied" if status == 403 else "try again")
        told = self._answer(method, name, verb, urllib.parse.parse_qs(url.query), body)
        # As if the answer were lost on its way.
        return (503, _error(503, "try again")) if status else told

    def _answer(self, method, name, verb, query, body) -> tuple[int, dict]:
        if name == f"{PARENT}/customJobs":
            if method == "POST":
                return self._create(body)
            label, value = re.fullmatch(r'labels\.(\w+)="(\w+)"', query["filter"][0]).groups()
            found = [j for j in self.jobs.values() if j["labels"].get(label) == value]
            return 200, {"customJobs": found}
        if name not in self.jobs:
            return 404, _error(404, f"{name} not found")
        job = self.jobs[name]
        if verb == "cancel":
            job["state"] = "JOB_STATE_CANCELLED"
            self._states[name] = []
            for process in self._started:
                process.kill()
            return 200, {}
        if self._states[name]:
            self._become(job, self._states[name].pop(0))
        return 200, job

    def _create(self, body: dict[str, Any]) -> tuple[int, dict]:
        try:
            json_format.ParseDict(body, aiplatform_v1.CustomJob.pb()())
        except json_format.ParseError as error:
            return 400, _error(400, str(error))
        name = f"{PARENT}/customJobs/{len(self.jobs) + 1}"
        self.jobs[name] = body | {"name": name, "state": "JOB_STATE_PENDING"}
        play = self.plays.pop(0) if self.plays else ["RUNNING"]
        self._states[name] = list(play or ())
        if play is None:
            self._run(self.jobs[name])
        return 200, self.jobs[name]

    def _become(self, job: dict[str, Any], told: Any) -> None:
        state, message = told if isinstance(told, tuple) else (told, "")
        job["state"] = f"JOB_STATE_{state}"
        if message:
            job["error"] = {"code": 3, "message": message}

    def _run(self, job: dict[str, Any]) -> None:
        """Starts the workers with TF_CONFIG as Vertex AI sets it, but for the hosts' names."""
        pools = job["jobSpec"]["workerPoolSpecs"]
        tasks = [
            (kind, pool["containerSpec"], index)
            for kind, pool in zip(("chief", "worker"), pools, strict=True)
            for index in range(int(pool["replicaCount"]))
        ]
        addresses = [f"127.0.0.1:{port}" for port in free_ports(len(tasks))]
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
        job["state"] = "JOB_STATE_RUNNING"
        running = {}
        for kind, container, index in tasks:
            task = {"type": kind, "index": index, "trial": ""}
            config = {"cluster": cluster, "environment": "cloud", "task": task, "job": "{}"}
            variables = {one["name"]: one["value"] for one in container["env"]}
            process = subprocess.Popen(
                [sys.executable, *container["command"][1:]],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **variables, "TF_CONFIG": json.dumps(config)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            self._started.append(process)
            running[f"workerpool{int(kind == 'worker')}-{index}"] = process
        threading.Thread(target=self._wait, args=(job, running), daemon=True).start()

    def _wait(self, job: dict[str, Any], running: dict[str, subprocess.Popen[bytes]]) -> None:
        while True:
            time.sleep(0.05)
            codes = {replica: process.poll() for replica, process in running.items()}
            # Looked at after the codes: who cancels sets it before it kills.
            if job["state"] != "JOB_STATE_RUNNING":
                return
            if set(codes.values()) == {0}:
                self._become(job, "SUCCEEDED")
            for replica, code in codes.items():
                if code:
                    status = 128 - code if code < 0 else code
                    words = f"The replica {replica} exited with a non-zero status of {status}."
                    self._become(job, ("FAILED", words))
                    for process in running.values():
                        process.kill()

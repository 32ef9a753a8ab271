"""Kubeflow Pipelines in a folder: runs a compiled package's tasks one after the other."""

import dataclasses
import datetime
import graphlib
import json
import pathlib
import time
import uuid
from typing import Any, Literal

from tests.pipeline.kubeflow.launcher import driver
from tests.pipeline.kubeflow.launcher.bucket import Bucket
from tests.pipeline.kubeflow.launcher.command import RunCommand
from tests.pipeline.kubeflow.launcher.launcher import LOGS, launch
from tests.pipeline.kubeflow.launcher.metadata import MetadataStore

State = Literal["done", "cached", "failed", "omitted"]


@dataclasses.dataclass(frozen=True)
class Task:
    """What became of a task: its state, how long it took in seconds and what it printed."""

    state: State
    seconds: float = 0.0
    printed: str = ""

    @property
    def logged(self) -> list[dict[str, Any]]:
        """The lines of its log that are JSON; others come from libraries."""
        return [json.loads(line) for line in self.printed.splitlines() if line.startswith("{")]


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run: its id, its tasks in the order in which they ran, and where their outputs lie."""

    run_id: str
    tasks: dict[str, Task]
    outputs: dict[str, dict[str, pathlib.Path]]

    def states(self, state: State) -> set[str]:
        """The tasks in a state."""
        return {name for name, task in self.tasks.items() if task.state == state}


@dataclasses.dataclass
class Cluster:
    """A cluster.

    Attributes:
      folder: holds the bucket and the pods' file systems.
      run_command: runs the tasks' commands.
      secrets: by secret and key, its value.
      environment: what the image's environment is.
    """

    folder: pathlib.Path
    run_command: RunCommand
    secrets: dict[tuple[str, str], str]
    environment: dict[str, str]
    store: MetadataStore = dataclasses.field(default_factory=MetadataStore)

    @property
    def bucket(self) -> Bucket:
        """The object store."""
        return Bucket(self.folder / "bucket")

    def run(
        self,
        spec: dict[str, Any],
        platform: dict[str, Any],
        pipeline_root: str,
        parameters: dict[str, Any],
    ) -> Finished:
        """Runs a package's tasks in the order in which they depend on each other.

        Args:
          spec: the PipelineSpec.
          platform: the PlatformSpec.
          pipeline_root: the URI given with the run.
          parameters: the run's parameters.
        """
        run_id = str(uuid.uuid4())
        run = driver.Run(
            run_id,
            f"{pipeline_root}/{spec['pipelineInfo']['name']}/{run_id}",
            driver.root_parameters(spec, parameters),
            datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        )
        tasks = spec["root"]["dag"]["tasks"]
        order = graphlib.TopologicalSorter(
            {name: task.get("dependentTasks", []) for name, task in sorted(tasks.items())}
        ).static_order()
        finished: dict[str, Task] = {}
        for name in order:
            needed = tasks[name].get("dependentTasks", [])
            if all(finished[task].state in ("done", "cached") for task in needed):
                finished[name] = self._run_task(name, spec, platform, run)
            else:
                finished[name] = Task("omitted")
        outputs = {
            task: {
                key: self.bucket.object(self.store.artifacts[identifier]["uri"])
                for key, identifier in made.items()
            }
            for task, made in run.outputs.items()
        }
        return Finished(run_id, finished, outputs)

    def _run_task(
        self, name: str, spec: dict[str, Any], platform: dict[str, Any], run: driver.Run
    ) -> Task:
        task = spec["root"]["dag"]["tasks"][name]
        unknown = task.keys() & {"iterator", "parameterIterator", "triggerPolicy"}
        if unknown:
            raise NotImplementedError(f"{name}: {unknown}")
        component = spec["components"][task["componentRef"]["name"]]
        label = component["executorLabel"]
        container = spec["deploymentSpec"]["executors"][label]["container"]
        config = (
            platform.get("platforms", {})
            .get("kubernetes", {})
            .get("deploymentSpec", {})
            .get("executors", {})
            .get(label, {})
        )
        began = time.monotonic()
        for attempt in range(1 + task.get("retryPolicy", {}).get("maxRetryCount", 0)):
            pod = self.folder / "pods" / run.run_id / f"{name}-{attempt}"
            asked = driver.executor_input(name, task, component, run, self.store, pod)
            claims = [mount["constant"] for mount in config.get("pvcMount", [])]
            key = driver.fingerprint(asked, container, claims)
            is_cached = task.get("cachingOptions", {}).get("enableCache", False)
            if is_cached and key in self.store.cache:
                run.outputs[name] = self.store.cache[key]
                return Task("cached")
            environment = self._environment(container, config)
            code, made = launch(
                asked,
                component,
                container,
                environment,
                pod,
                self.bucket,
                self.store,
                self.run_command,
            )
            if code == 0:
                break
        printed = self.bucket.object(self.store.artifacts[made[LOGS]]["uri"]).read_text()
        seconds = time.monotonic() - began
        if code:
            return Task("failed", seconds, printed)
        run.outputs[name] = made
        if is_cached:
            self.store.cache[key] = made
        return Task("done", seconds, printed)

    def _environment(self, container: dict[str, Any], config: dict[str, Any]) -> dict[str, str]:
        """``initPodSpecPatch``, ``driver.go``, and ``extendPodSpecPatch``, ``k8s.go``."""
        secrets = {
            pair["envVar"]: self.secrets[secret["secretName"], pair["secretKey"]]
            for secret in config.get("secretAsEnv", [])
            for pair in secret["keyToEnv"]
        }
        own = {pair["name"]: pair["value"] for pair in container.get("env", [])}
        return {**self.environment, **own, **secrets}

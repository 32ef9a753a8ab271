"""What a workflow engine would make of a run: one step after each look at the run.

The rows are those that the API server makes of Argo's nodes: a task's driver and the task by name,
its container as ``executor``. Nothing rests on time.
"""

from typing import Any

from tests.kfp_server.store import NEVER, Row, now


def dependencies(spec: dict[str, Any]) -> dict[str, set[str]]:
    """By task the tasks that it waits for."""
    waits = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        producers = {
            source["taskOutputArtifact"]["producerTask"]
            for source in task.get("inputs", {}).get("artifacts", {}).values()
            if "taskOutputArtifact" in source
        }
        waits[name] = producers | set(task.get("dependentTasks", []))
    return waits


class Execution:
    """A run in the making.

    Attributes:
      run: its row, which is kept up to date.
    """

    def __init__(self, run: Row, spec: dict[str, Any], outcomes: dict[str, str]) -> None:
        """Begins.

        Args:
          run: its row.
          spec: the PipelineSpec.
          outcomes: by task ``FAILED`` (its container fails), ``DRIVER`` (its driver does) or
            ``STUCK`` (it runs until the run is cancelled); the others succeed.
        """
        self.run = run
        self._waits = dependencies(spec)
        self._outcomes = outcomes
        self._nodes: dict[str, Row] = {}

    def step(self) -> None:
        state = self.run["state"]
        if state == "PENDING":
            self.run["state"] = "RUNNING"
            self._set("root-driver", "RUNNING")
        elif state == "RUNNING":
            self._work()
        elif state == "CANCELING":
            self._end("FAILED")

    def _work(self) -> None:
        self._set("root-driver", "SUCCEEDED")
        before = {name: node["state"] for name, node in self._nodes.items()}
        failed = "FAILED" in before.values()
        for task, waits in self._waits.items():
            driver, state = before.get(f"{task}-driver"), before.get(task)
            ready = all(before.get(name) == "SUCCEEDED" for name in waits)
            outcome = self._outcomes.get(task, "SUCCEEDED")
            if state == "RUNNING" and outcome != "STUCK":
                self._set(task, outcome)
                self._set("executor", outcome, key=f"{task}-executor")
            elif driver == "RUNNING" and outcome == "DRIVER":
                self._set(f"{task}-driver", "FAILED")
                self._set(task, "RUNTIME_STATE_UNSPECIFIED")
            elif driver == "RUNNING":
                self._set(f"{task}-driver", "SUCCEEDED")
                self._set(task, "RUNNING")
                self._set("executor", "RUNNING", key=f"{task}-executor")
            elif driver is None and not failed and ready:
                self._set(f"{task}-driver", "RUNNING")
        states = {name: node["state"] for name, node in self._nodes.items()}
        if states == before and "RUNNING" not in before.values():
            self._end("FAILED" if failed else "SUCCEEDED")

    def _end(self, state: str) -> None:
        """Argo fails what was running when a run is terminated, and the run with it."""
        for key, node in self._nodes.items():
            if node["state"] == "RUNNING":
                self._set(node["display_name"], "FAILED", key=key)
        self.run |= {"state": state, "finished_at": now()}

    def _set(self, name: str, state: str, key: str | None = None) -> None:
        node = self._nodes.setdefault(
            key or name,
            {
                "run_id": self.run["run_id"],
                "task_id": f"{len(self._nodes)}",
                "display_name": name,
                "create_time": now(),
                "start_time": now(),
                "end_time": NEVER,
                "child_tasks": [{"pod_name": f"pod-{len(self._nodes)}"}],
            },
        )
        node["state"] = state
        if state in ("SUCCEEDED", "FAILED") and node["end_time"] == NEVER:
            node["end_time"] = now()
        self.run["run_details"] = {"task_details": list(self._nodes.values())}

"""What a rule is, what it is asked about, and the error that tells the broken ones."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml

from pipeline.kubeflow.resources import Backend

_NAMES: dict[Backend, str] = {"kfp": "Kubeflow Pipelines", "vertex": "Vertex AI"}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A package as its backend reads it.

    Attributes:
      backend: who reads it.
      spec: the PipelineSpec.
      platform: the PlatformSpec; empty where there is none.
      job: the PipelineJob around the spec, of Vertex AI only.
      documents: how many documents the text holds.
    """

    backend: Backend
    spec: dict[str, Any]
    platform: dict[str, Any] = dataclasses.field(default_factory=dict)
    job: dict[str, Any] = dataclasses.field(default_factory=dict)
    documents: int = 1

    @classmethod
    def read(cls, backend: Backend, text: str) -> "Candidate":
        """Reads a package's text: YAML documents for KFP, a PipelineJob in JSON for Vertex AI."""
        if backend == "vertex":
            job = json.loads(text)
            return cls(backend, job.get("pipelineSpec", {}), job=job)
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        spec, platform = [*documents, {}, {}][:2]
        return cls(backend, spec, platform, documents=len(documents))

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """The root's tasks by id."""
        found: dict[str, dict[str, Any]] = self.spec.get("root", {}).get("dag", {}).get("tasks", {})
        return found

    @property
    def executors(self) -> dict[str, dict[str, Any]]:
        """The executors by label."""
        found: dict[str, dict[str, Any]] = self.spec.get("deploymentSpec", {}).get("executors", {})
        return found

    @property
    def containers(self) -> dict[str, dict[str, Any]]:
        """The containers by their executors' label."""
        return {k: e["container"] for k, e in self.executors.items() if "container" in e}

    def component(self, task: str) -> dict[str, Any]:
        """A task's component; empty where there is none."""
        name = self.tasks[task].get("componentRef", {}).get("name", "")
        found: dict[str, Any] = self.spec.get("components", {}).get(name, {})
        return found


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of a backend.

    Attributes:
      name: what it is about.
      source: where it is written.
      check: tells each way in which a candidate breaks it.
      backends: whose rule it is.
    """

    name: str
    source: str
    check: Callable[[Candidate], Iterator[str]]
    backends: Sequence[Backend] = ("kfp", "vertex")


class NotAcceptedError(ValueError):
    """A package that its backend would refuse."""

    def __init__(self, backend: Backend, broken: Sequence[tuple[Rule, str]]) -> None:
        self.rules = [rule.name for rule, _ in broken]
        lines = [f"  {told} ({rule.name}: {rule.source})" for rule, told in broken]
        super().__init__(
            "\n".join([f"{_NAMES[backend]} would refuse the compiled pipeline:", *lines])
        )

"""What submit asks of Kubeflow Pipelines and of Vertex AI alike."""

import dataclasses
import hashlib
from typing import Any, Literal, Protocol

import yaml

from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.local.events import State

RunState = Literal["pending", "running", "succeeded", "failed", "canceling", "canceled"]
Change = Literal["made", "replaced", "enabled", "left as it is"]
ENDED: tuple[RunState, ...] = ("succeeded", "failed", "canceled")


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is known of a stage of a run; ``text`` is why it failed, where that is told."""

    state: State
    seconds: float = 0.0
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A run at one moment; stages of which the platform says nothing are not in it."""

    state: RunState
    stages: dict[str, Stage]
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Package:
    """A compiled package.

    Attributes:
      text: the file's content.
      name: the pipeline's name in its spec.
      parameters: by run parameter its type and default, as in the spec's ``inputDefinitions``.
    """

    text: str
    name: str
    parameters: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, text: str, file: str) -> "Package":
        """Finds the PipelineSpec in a file's content.

        Args:
          text: YAML documents for Kubeflow Pipelines, or a PipelineJob as JSON for Vertex AI.
          file: what messages call it.

        Raises:
          SubmitError: if there is none.
        """
        try:
            for document in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                spec = document.get("pipelineSpec", document)
                if "pipelineInfo" in spec:
                    inputs = spec["root"].get("inputDefinitions", {})
                    name = spec["pipelineInfo"]["name"]
                    return cls(text, name, inputs.get("parameters", {}))
        except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            raise SubmitError(f"{file} is no pipeline package: {error}") from None
        raise SubmitError(
            f"{file} is no pipeline package: it has no pipelineInfo. Make one with "
            "python -m pipeline compile"
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def version(self) -> str:
        """The name of the version that holds exactly these bytes."""
        return f"{self.name}-{self.digest[:12]}"


@dataclasses.dataclass(frozen=True)
class Uploaded:
    """A package on the platform; ``is_new`` is whether it was not there before."""

    pipeline_id: str
    version_id: str
    is_new: bool


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A recurring run; ``change`` is what was done to it."""

    schedule_id: str
    change: Change


class Backend(Protocol):
    """A platform that runs pipelines. Methods raise SubmitError, or what ``retry`` judges."""

    place: str

    def upload(self, package: Package) -> Uploaded:
        """Puts a package there, unless it is there already."""

    def start(self, package: Package, uploaded: Uploaded, name: str, values: dict[str, Any]) -> str:
        """Starts a run, and returns its id."""

    def look(self, run_id: str) -> Snapshot:
        """What has become of a run and of its stages."""

    def cancel(self, run_id: str) -> None:
        """Asks for a run's end."""

    def link(self, run_id: str) -> str:
        """The page that shows a run."""

    def schedule(
        self, package: Package, uploaded: Uploaded, name: str, cron: str, values: dict[str, Any]
    ) -> Schedule:
        """Makes the recurring run of that name what is asked."""

    def disable(self, name: str) -> int:
        """Stops the recurring run of that name; how many were running."""

"""What a run's artifacts tell of it."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import ml_metadata
from tensorflow_metadata.proto.v0 import schema_pb2

from components.curated_schema.schema_file import SchemaError, read_schema
from components.model_evaluator.report import REPORT
from pipeline import history
from pipeline.metrics import stages
from pipeline.metrics.scheme import Sample
from pipeline.report.run import NoRunError, read
from pipeline.report.run import Run as Made
from pipeline.ui.runs import Run

_KEPT = 500
_OF_THE_MACHINE = ("code", "lineage", "watermark", "release_state", "refusals", "fingerprint")
"""Parameters that say what a stage found, not how it was set up."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What one run made, or took from an earlier one.

    Attributes:
      made: its record, plan and artifacts; None if they cannot be read.
      problem: why not; empty if they can.
    """

    made: Made | None = None
    problem: str = ""

    @functools.cached_property
    def samples(self) -> tuple[Sample, ...]:
        """Its metrics; see ``pipeline.metrics.scheme``."""
        executions = self.made.executions if self.made else {}
        found = [stages.of(stage, outputs)[0] for stage, (_, outputs) in executions.items()]
        return tuple(sample for samples in found for sample in samples)

    @functools.cached_property
    def evaluation(self) -> Mapping[str, Any]:
        """See ``components.model_evaluator.report``; empty if the model was not evaluated."""
        return self._report("Evaluator", "evaluation", REPORT)

    @functools.cached_property
    def training(self) -> Mapping[str, Any]:
        """See ``trainer.record``; empty if nothing was trained."""
        return self._report("Trainer", "model_run", "training.json")

    @functools.cached_property
    def schema(self) -> schema_pb2.Schema | None:
        """The schema that the run's data were held to; None if the run did not get there."""
        folder = self.made.place("CuratedSchema", "schema") if self.made else None
        try:
            return None if folder is None else read_schema(folder / "schema.pbtxt")
        except SchemaError:
            return None

    def metric(self, name: str) -> float | None:
        """The evaluation's metric, over all examples; None if there is none."""
        value = self.evaluation.get("metrics", {}).get(name)
        return value if isinstance(value, (int, float)) else None

    def _report(self, stage: str, output: str, file: str) -> Mapping[str, Any]:
        try:
            return (self.made and self.made.report(stage, output, file)) or {}
        except (OSError, ValueError, TypeError):
            return {}


def of(directory: pathlib.Path, run: Run) -> Facts:
    """The facts of a run; those of one that has ended are kept in memory.

    Args:
      directory: ``run.directory`` of the settings.
      run: which run.
    """
    folder = directory / "runs" / run.run_id
    try:
        return _kept(folder, run.ended) if run.ended else Facts(read(folder))
    except (NoRunError, RuntimeError, ml_metadata.errors.StatusError) as error:
        return Facts(problem=str(error))


def parameters(facts: Facts) -> dict[str, dict[str, str]]:
    """What each stage was told to do: by stage, by the setting's path, its value as text."""
    if facts.made is None or not facts.made.executions:
        return {}
    store = history.open_store(facts.made.root / "metadata.db")
    names = {number: stage for stage, (number, _) in facts.made.executions.items()}
    return {
        names[execution.id]: {
            _as_in_settings(path, names[execution.id]): text
            for name, value in execution.custom_properties.items()
            if name not in _OF_THE_MACHINE
            for path, text in _flat(name, _decoded(value.string_value or value.int_value))
        }
        for execution in store.get_executions_by_id(list(names))
    }


@functools.lru_cache(_KEPT)
def _kept(folder: pathlib.Path, _: str) -> Facts:
    return Facts(read(folder))


def _as_in_settings(path: str, stage: str) -> str:
    """A parameter's path as settings.yaml has it, where a stage is given a part of that."""
    source = stage.partition("ExampleGen-")[2]
    if source and path.startswith("source."):
        return f"sources.{source}.{path.removeprefix('source.')}"
    return path.removeprefix("custom_config.").removeprefix("config.").removeprefix("settings.")


def _decoded(value: object) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Leaves of nested mappings and lists by their paths; lists of plain values are leaves."""
    value = _decoded(value)
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _OF_THE_MACHINE:
                yield from _flat(f"{path}.{name}", inner)
    elif isinstance(value, list) and any(isinstance(inner, (dict, list)) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(f"{path}[{number}]", inner)
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)

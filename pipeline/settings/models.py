"""The whole of settings.yaml as one typed tree. Sources and splits are in components/ingest/."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import pydantic

from components.anomaly_gate.settings import Validation
from components.ingest.durations import parse_instant
from components.ingest.kinds import AnySource
from components.ingest.sources import SqlSource
from components.ingest.split import Split
from components.model_evaluator.metrics import METRICS
from components.serving_gate.settings import GateSettings
from components.tuner.settings import TunerSettings, Tuning
from pipeline.settings.beam import Direct, Runner
from pipeline.settings.blocks import (
    Evaluation,
    Label,
    Project,
    Run,
    Serving,
    Training,
    default_metrics,
)
from pipeline.settings.collect import AnyStream
from pipeline.settings.features import FeatureError, Features, expand, trainer_features
from pipeline.settings.fields import FROZEN, NodeName, SourceName, Text, is_folder_name
from pipeline.settings.kubeflow import Kubeflow
from pipeline.settings.monitoring import Monitoring
from serving.registry.settings import Registry

if TYPE_CHECKING:
    from components.curated_schema.schema_file import Column


class Settings(pydantic.BaseModel):
    """All of settings.yaml. Paths are relative to the folder that the command runs in."""

    model_config = FROZEN | pydantic.ConfigDict(populate_by_name=True)

    project: Project
    as_of: str = "now"
    spine: SourceName = "observations"
    sources: Annotated[dict[SourceName, AnySource], pydantic.Field(min_length=1)]
    collect: dict[SourceName, AnyStream] = {}
    label: Label
    split: Split
    schema_file: Annotated[Text, pydantic.Field(alias="schema")] = "schemas/schema.pbtxt"
    validation: Validation = Validation()
    features: Features = Features()
    training: Training = Training()
    tuning: Tuning | None = None
    evaluation: Evaluation = Evaluation()
    serving: Serving
    run: Run = Run()
    beam: dict[NodeName, Runner] = {}
    monitoring: Monitoring = Monitoring()
    registry: Registry | None = None
    kubeflow: Kubeflow | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Drops blocks without content, and puts in what other blocks settle."""
        if not isinstance(data, dict):
            return data
        data = {key: value for key, value in data.items() if value is not None}
        project, serving = data.get("project"), data.get("serving", {})
        name = project.get("name") if isinstance(project, dict) else None
        if isinstance(serving, dict) and serving.get("model") is None:
            # Without a right name the project's own error is the one to tell.
            model = name if is_folder_name(name) else "unnamed"
            data["serving"] = {**serving, "model": model}
        label, evaluation = data.get("label"), data.get("evaluation", {})
        task = label.get("task", "binary") if isinstance(label, dict) else None
        if isinstance(evaluation, dict) and not evaluation.get("metrics"):
            data["evaluation"] = {**evaluation, "metrics": default_metrics(task)}
        return data

    @pydantic.field_validator("as_of")
    @classmethod
    def _as_of_is_a_time(cls, value: str) -> str:
        if value in ("now", "latest"):
            return value
        try:
            parse_instant(value)
        except ValueError as error:
            raise ValueError(f"expected 'now' or 'latest', or {str(error)[9:]}") from None
        return value

    @pydantic.model_validator(mode="after")
    def _sources_share_the_spines_database(self) -> "Settings":
        spine = self.sources.get(self.spine)
        if isinstance(spine, SqlSource):
            database = {"url": spine.url, "url_env": spine.url_env}
            for name, source in self.sources.items():
                if isinstance(source, SqlSource) and not (source.url or source.url_env):
                    self.sources[name] = source.model_copy(update=database)
        return self

    @pydantic.model_validator(mode="after")
    def _days_lie_in_the_runs_directory(self) -> "Settings":
        for name, source in self.sources.items():
            wish = source.incremental
            if wish is not None and wish.directory is None:
                here = wish.model_copy(update={"directory": f"{self.run.directory}/days"})
                self.sources[name] = source.model_copy(update={"incremental": here})
        return self

    @property
    def spine_source(self) -> SqlSource:
        """The source with one row an entity and a time."""
        source = self.sources[self.spine]
        assert isinstance(source, SqlSource)
        return source

    @property
    def other_sources(self) -> dict[str, AnySource]:
        """The sources that are joined onto the spine, in the file's order."""
        return {name: s for name, s in self.sources.items() if name != self.spine}

    @property
    def reserved_columns(self) -> tuple[str, ...]:
        """Columns of the joined examples that are never features."""
        spine = self.spine_source
        known = (spine.known_at,) if spine.known_at else ()
        return (self.label.name, spine.entity, spine.time, *known)

    def collect_directory(self, source: str) -> str:
        """Where the readings of a stream go: below it are ``readings`` and ``rejected``."""
        own = self.collect[source].directory
        return (own or f"{self.run.directory.rstrip('/')}/collected/{source}").rstrip("/")

    def beam_runner(self, node_id: str) -> Runner:
        """Where a node's Beam work is done: as it says itself, else as ``__default__`` says."""
        return self.beam.get(node_id) or self.beam.get("__default__") or Direct()

    def trainer_config(self, columns: Mapping[str, "Column"]) -> dict[str, Any]:
        """What trainer/ is given: JSON-able, with globs expanded to the schema's columns.

        Args:
          columns: the schema's columns, from `components.curated_schema.schema_file.columns`.

        Raises:
          FeatureError: for the first listed feature that the schema does not bear out, or if no
            feature is left.
        """
        kinds, errors = expand(self.features, columns, self.reserved_columns)
        if errors:
            raise errors[0]
        if not kinds:
            raise FeatureError("numeric", "*", "leaves no feature: the schema has no other column")
        training = self.training.model_dump(exclude={"workers"})
        if self.label.task == "regression":
            training["class_weights"] = "none"
        return {
            "label": {"name": self.label.name, "task": self.label.task},
            "features": trainer_features(self.features, kinds),
            "training": training,
        }

    def serving_gate_settings(self) -> str:
        """What ServingGate is given: JSON of components.serving_gate.settings.GateSettings."""
        serving = self.serving
        return GateSettings(
            **serving.gate.model_dump(), model=serving.model, latency_p99_ms=serving.latency_p99_ms
        ).model_dump_json()

    @property
    def objective(self) -> tuple[str, str] | None:
        """The first metric of the evaluation that is better one way, and which way."""
        for name in self.evaluation.metrics:
            better = METRICS[name].better if name in METRICS else None
            if better:
                return name, better
        return None

    def tuner_settings(self) -> str:
        """What Tuner is given: JSON of components.tuner.settings.TunerSettings."""
        assert self.tuning is not None and self.objective is not None
        metric, better = self.objective
        spine = self.spine_source
        told = {"split": self.split.by, "time": spine.time, "entity": spine.entity}
        return TunerSettings(
            **self.tuning.model_dump(),
            **told,
            metric=metric,
            better=better,
            horizon=self.label.horizon,
        ).model_dump_json()

    def gate_settings(self) -> str:
        """What AnomalyGate is given as JSON: the label's name and the validation settings."""
        return json.dumps(
            {"label": self.label.name, **self.validation.model_dump()}, sort_keys=True
        )

    def join_settings(self) -> str:
        """What PointInTimeJoin is given as JSON: spine, sources, split, horizon and label."""
        full = self.model_dump(mode="json")
        return json.dumps(
            {
                "name": self.spine,
                "spine": full["sources"][self.spine],
                "sources": {name: full["sources"][name] for name in self.other_sources},
                "split": full["split"],
                "horizon": full["label"]["horizon"],
                "label": {"name": self.label.name, "task": self.label.task},
            },
            sort_keys=True,
        )

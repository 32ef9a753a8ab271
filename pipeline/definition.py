"""The pipeline, read from top to bottom: which stage gets what from which.

The same definition runs under LocalDagRunner and compiles for Kubeflow Pipelines; what differs
comes in through ``RunInputs``.
"""

import dataclasses
import json
from typing import Any

from tfx.components import ExampleValidator, StatisticsGen
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2

from components.anomaly_gate.component import AnomalyGate
from components.champion.component import Champion
from components.curated_schema.component import CuratedSchema
from components.distributed_trainer.component import Trainer
from components.ingest.durations import format_duration
from components.ingest.sensor.source import SensorSource
from components.model_evaluator.component import Evaluator
from components.model_evaluator.config import eval_config
from components.point_in_time_join.component import PointInTimeJoin
from components.sensor_example_gen.component import SensorExampleGen
from components.serving_gate.component import ServingGate
from components.sql_example_gen.component import SqlExampleGen
from components.store_example_gen.component import StoreExampleGen
from components.transform.component import Transform
from components.tuner.component import Tuner
from components.version_pusher.component import VersionPusher
from pipeline import fingerprint
from pipeline.nodes import example_gen_id
from pipeline.settings import Settings


@dataclasses.dataclass(frozen=True)
class RunInputs:
    """What a run needs beside the settings.

    Attributes:
      as_of: the instant at which the run stands, ISO 8601; a run parameter on a cluster.
      watermarks: by source, a text that changes when its data may have changed; empty where such
        stages are not cached.
      release_state: a text that changes when another version serves; empty where Champion is not
        cached.
      schema_fingerprint: a text that changes with the curated schema's content.
      trainer_config: features, label and training as trainer/ reads them.
      lineage: what the release record says of where a version comes from.
      pipeline_root: folder or bucket of the artifacts.
      metadata_path: ML Metadata's SQLite file; None where the platform keeps metadata.
      beam_args: by stage that runs on Beam, Beam's arguments.
      cache: whether stages with the same inputs are taken from an earlier run.
      refusals: how many candidates ServingGate refused before; what it refused, it tries again.
    """

    as_of: str | RuntimeParameter
    watermarks: dict[str, str]
    release_state: str
    schema_fingerprint: str
    trainer_config: dict[str, Any]
    lineage: dict[str, str]
    pipeline_root: str
    metadata_path: str | None
    beam_args: dict[str, list[str]]
    cache: bool = True
    refusals: int = 0


def create_pipeline(settings: Settings, inputs: RunInputs) -> Pipeline:
    """Wires the stages.

    Args:
      settings: the project's settings.
      inputs: what differs from run to run and from platform to platform.
    """
    read = {name: _example_gen(settings, inputs, name) for name in settings.sources}
    spine = read[settings.spine]
    joined = PointInTimeJoin(
        spine=spine.outputs["examples"],
        sources={n: r.outputs["examples"] for n, r in read.items() if r is not spine},
        settings=settings.join_settings(),
        as_of=inputs.as_of,
        code=fingerprint.component("point_in_time_join"),
    )

    statistics = StatisticsGen(examples=joined.outputs["examples"])
    schema = CuratedSchema(
        schema_file=settings.schema_file,
        fingerprint=inputs.schema_fingerprint,
        code=fingerprint.component("curated_schema"),
    )
    champion = Champion(
        directory=settings.serving.model_directory,
        release_state=inputs.release_state,
        code=fingerprint.component("champion", "serving"),
    )
    validated = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    gate = AnomalyGate(
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
        anomalies=validated.outputs["anomalies"],
        baseline_statistics=champion.outputs["statistics"],
        settings=settings.gate_settings(),
        code=fingerprint.component("anomaly_gate"),
    )

    prepared = {name: inputs.trainer_config.get(name) for name in ("label", "features")}
    transformed = Transform(
        examples=joined.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        custom_config={
            "config": prepared,
            "code": fingerprint.component("transform", "trainer"),
        },
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    transformed.add_upstream_node(gate)
    tuned = None
    if settings.tuning is not None:
        tuned = Tuner(
            examples=joined.outputs["examples"],
            transform_graph=transformed.outputs["transform_graph"],
            settings=settings.tuner_settings(),
            custom_config=_how_to_try(inputs),
            code=fingerprint.component("tuner", "components/point_in_time_join"),
        )
    hyperparameters = tuned.outputs["best_hyperparameters"] if tuned else None
    trained = Trainer(
        run_fn="trainer.run.run_fn",
        examples=transformed.outputs["transformed_examples"],
        transform_graph=transformed.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        hyperparameters=hyperparameters,
        # Zero steps: epochs and the size of the data say how long training goes on.
        train_args=trainer_pb2.TrainArgs(num_steps=0),
        eval_args=trainer_pb2.EvalArgs(num_steps=0),
        custom_config=_how_to_train(settings, inputs),
    )
    evaluated = Evaluator(
        examples=joined.outputs["examples"],
        model=trained.outputs["model"],
        baseline_model=champion.outputs["model"],
        schema=schema.outputs["schema"],
        eval_config=eval_config(
            settings.label.name, settings.label.task, settings.evaluation.model_dump()
        ),
        code=fingerprint.component("model_evaluator"),
    )
    served = ServingGate(
        model=trained.outputs["model"],
        examples=joined.outputs["examples"],
        settings=settings.serving_gate_settings(),
        refusals=inputs.refusals,
        code=fingerprint.component("serving_gate", "serving/server", "serving/load"),
    )
    pushed = VersionPusher(
        model=trained.outputs["model"],
        model_blessing=evaluated.outputs["blessing"],
        infra_blessing=served.outputs["blessing"],
        evaluation=evaluated.outputs["evaluation"],
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
        hyperparameters=hyperparameters,
        directory=settings.serving.model_directory,
        keep=settings.serving.keep_versions,
        rollout=settings.serving.rollout,
        lineage=json.dumps(inputs.lineage, sort_keys=True),
        as_of=inputs.as_of,
        split=settings.split.model_dump_json(),
        horizon=format_duration(settings.label.horizon),
        registry=settings.registry.model_dump_json() if settings.registry else "",
        code=fingerprint.component("version_pusher", "serving"),
    )

    components = [
        *read.values(),
        joined,
        statistics,
        schema,
        champion,
        validated,
        gate,
        transformed,
        *([tuned] if tuned else []),
        trained,
        evaluated,
        served,
        pushed,
    ]
    for component in components:
        if isinstance(component, BaseBeamComponent):
            component.with_beam_pipeline_args(inputs.beam_args[component.id])

    metadata = (
        sqlite_metadata_connection_config(inputs.metadata_path) if inputs.metadata_path else None
    )
    return Pipeline(
        pipeline_name=settings.project.name,
        pipeline_root=inputs.pipeline_root,
        metadata_connection_config=metadata,
        components=components,
        enable_cache=inputs.cache,
    )


def _how_to_try(inputs: RunInputs) -> str:
    """What a trial is told, as JSON: trials run on one device, wherever Trainer does."""
    training = {
        name: value
        for name, value in inputs.trainer_config.get("training", {}).items()
        if name not in ("strategy", "communication", "profile")
    }
    told = {"config": {**inputs.trainer_config, "training": training}}
    return json.dumps({**told, "code": fingerprint.code("trainer")}, sort_keys=True)


def _how_to_train(settings: Settings, inputs: RunInputs) -> dict[str, Any]:
    if settings.training.strategy != "multi_worker":
        return {"config": inputs.trainer_config, "code": fingerprint.code("trainer")}
    code = fingerprint.code("trainer", "components/distributed_trainer")
    # How many is part of the key, since sums in another order make another model; where and how
    # they are launched, pipeline/launch.py tells by the environment.
    count = settings.training.workers.count
    return {"config": inputs.trainer_config, "code": code, "workers": count}


def _example_gen(
    settings: Settings, inputs: RunInputs, name: str
) -> SqlExampleGen | SensorExampleGen:
    source = settings.sources[name]
    what: dict[str, Any] = {
        "name": name,
        "source": source.model_dump_json(),
        "as_of": inputs.as_of,
        "split": settings.split.model_dump_json(),
        "horizon": format_duration(settings.label.horizon),
        "watermark": inputs.watermarks[name],
    }
    node_id = example_gen_id(settings, name)
    if isinstance(source, SensorSource):
        code = fingerprint.component("sensor_example_gen")
        return SensorExampleGen(**what, code=code).with_id(node_id)
    reader = SqlExampleGen if source.kind == "sql" else StoreExampleGen
    code = fingerprint.rows(type(source))
    return reader(**what, spine=int(name == settings.spine), code=code).with_id(node_id)

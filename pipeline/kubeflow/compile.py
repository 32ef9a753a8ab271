"""The definition compiled: a package for Kubeflow Pipelines, or one for Vertex AI.

TFX's KubeflowV2DagRunner makes the PipelineSpec; ``mend`` puts in what it leaves out; ``resources``
adds what a node's pod asks for. The same settings and the same checkout give the same bytes.
"""

import dataclasses
import json
import pathlib
from typing import Any

import yaml
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)

from pipeline import launch
from pipeline.definition import create_pipeline
from pipeline.kubeflow import mend
from pipeline.kubeflow.acceptance import check_accepted
from pipeline.kubeflow.inputs import run_inputs
from pipeline.kubeflow.readiness import check_ready, left_out
from pipeline.kubeflow.resources import Backend, executor_config, resource_spec
from pipeline.kubeflow.run_values import AS_OF
from pipeline.kubeflow.unsupported import check_supported
from pipeline.metrics.task import environment
from pipeline.nodes import is_cached, node_ids
from pipeline.settings import Settings

COMMAND = ["python", "-m", "pipeline.kubeflow.entrypoint"]
FILES: dict[Backend, str] = {"kfp": "pipeline.yaml", "vertex": "pipeline.vertex.json"}


@dataclasses.dataclass(frozen=True)
class CompiledPackage:
    """What a backend is given.

    Attributes:
      backend: whom it is for.
      spec: the PipelineSpec.
      platform: the PlatformSpec; empty for Vertex AI.
      text: the file's content: for KFP both as YAML documents, for Vertex AI a PipelineJob as JSON.
      left_out: what of the settings the backend has no word for, as lines for people.
    """

    backend: Backend
    spec: dict[str, Any]
    platform: dict[str, Any]
    text: str
    left_out: list[str]


def compile_pipeline(
    settings: Settings,
    path: pathlib.Path,
    backend: Backend,
    *,
    allow_unpinned: bool = False,
) -> CompiledPackage:
    """Compiles the definition, and refuses what the backend would refuse.

    Args:
      settings: the project's settings, with ``kubeflow``.
      path: the file that they come from.
      backend: whom to compile for.
      allow_unpinned: takes an image that is named by a tag.

    Raises:
      SettingsError: if the settings cannot run on a cluster as they stand.
      UnsupportedError: if a node of the definition cannot.
      NotAcceptedError: if the backend would refuse what came of it.
      components.curated_schema.schema_file.SchemaError: if there is no schema to train by.
    """
    check_ready(settings, path, backend, allow_unpinned=allow_unpinned)
    kubeflow = settings.kubeflow
    assert kubeflow is not None
    nodes = {name: kubeflow.node(name) for name in node_ids(settings)}
    images = {name: node.image or kubeflow.image for name, node in nodes.items()}
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=images | {"default_image_path": kubeflow.image},
            default_commands=COMMAND,
            use_pipeline_spec_2_1=True,
        )
    )
    pipeline = create_pipeline(settings, run_inputs(settings, path, kubeflow.pipeline_root))
    check_supported(pipeline)
    job = runner.run(pipeline, write_out=False)

    spec = mend.keep_defaults(job["pipelineSpec"], {AS_OF: settings.as_of})
    spec = mend.tell_the_run(spec, now=settings.as_of == "now")
    executors = {}
    for name, node in nodes.items():
        spec = mend.set_task(spec, name, node, is_cached(settings, name, node.cache))
        told = environment(settings) | node.env
        if name == "Trainer":
            told |= launch.environment(settings)
        spec = mend.set_container(spec, name, resource_spec(node, backend), told)
        config = executor_config(node)
        if config:
            executors[spec["components"][name]["executorLabel"]] = config

    platform: dict[str, Any] = {}
    if backend == "vertex":
        text = json.dumps(job | {"pipelineSpec": spec}, indent=2, sort_keys=True) + "\n"
    else:
        platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
        text = yaml.safe_dump_all([spec, platform], sort_keys=True, allow_unicode=True)
    check_accepted(backend, text)
    return CompiledPackage(backend, spec, platform, text, left_out(settings, backend))

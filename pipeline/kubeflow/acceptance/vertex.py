"""Rules of Vertex AI for the PipelineJob around the spec.

Source: the reference of ``projects.locations.pipelineJobs`` (cloud.google.com/vertex-ai/docs),
and google-cloud-aiplatform's ``pipeline_jobs.py``, which checks some of them before it asks.
"""

import re
from collections.abc import Iterator

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.kubeflow.acceptance.rules import Candidate, Rule

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_ACCELERATOR = re.compile(r"(NVIDIA|TPU)_[A-Z0-9_]+")
_FIELDS = {"displayName", "labels", "pipelineSpec", "runtimeConfig"}


def _job(candidate: Candidate) -> Iterator[str]:
    try:
        json_format.ParseDict(candidate.job, pipeline_spec_pb2.PipelineJob())
    except json_format.ParseError as error:
        yield str(error).partition("\n")[0]
    for field in sorted(set(candidate.job) - _FIELDS):
        yield f"the job has {field!r}"
    if not 0 < len(candidate.job.get("displayName", "")) <= 128:
        yield "displayName: expected 1 to 128 characters"


def _labels(candidate: Candidate) -> Iterator[str]:
    labels = candidate.job.get("labels", {})
    if len(labels) > 64:
        yield f"there are {len(labels)} labels: expected at most 64"
    for key, value in labels.items():
        if not (_LABEL_KEY.fullmatch(key) and _LABEL.fullmatch(value)):
            yield f"label {key}={value}: expected up to 63 of a-z, 0-9, _ and -"


def _bucket(candidate: Candidate) -> Iterator[str]:
    root = candidate.job.get("runtimeConfig", {}).get("gcsOutputDirectory", "")
    if not re.fullmatch(r"gs://[^/]+(/.*)?", root):
        yield f"gcsOutputDirectory is {root!r}: expected gs://bucket/folder"


def _values(candidate: Candidate) -> Iterator[str]:
    config = candidate.job.get("runtimeConfig", {})
    if "parameters" in config:
        yield "runtimeConfig.parameters belongs to schema 2.0.0: expected parameterValues"
    known = candidate.spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name in sorted(set(config.get("parameterValues", {})) - set(known)):
        yield f"there is no run parameter {name!r}"


def _accelerators(candidate: Candidate) -> Iterator[str]:
    for label, container in candidate.containers.items():
        kind = container.get("resources", {}).get("accelerator", {}).get("type")
        if kind is not None and not _ACCELERATOR.fullmatch(kind):
            yield f"executor {label}: accelerator {kind!r}: expected such as 'NVIDIA_TESLA_T4'"


RULES = tuple(
    Rule(name, f"Vertex AI, {source}", check, ("vertex",))
    for name, source, check in (
        ("job", "PipelineJob", _job),
        ("labels", "PipelineJob.labels", _labels),
        ("bucket", "RuntimeConfig.gcs_output_directory", _bucket),
        ("run values", "pipeline_job PipelineRuntimeConfigBuilder", _values),
        ("accelerator type", "AcceleratorType", _accelerators),
    )
)

"""Artifacts as TFX knows them, from what the launcher tells and back."""

import math
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.io import fileio
from tfx.orchestration.portable import outputs_utils
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.artifact import Artifact
from tfx.types.value_artifact import ValueArtifact
from tfx.utils import import_utils

from pipeline.kubeflow.container.invocation import Described
from pipeline.kubeflow.container.storage import Storage

_CASTS = {
    metadata_store_pb2.INT: int,
    metadata_store_pb2.DOUBLE: float,
    metadata_store_pb2.STRING: str,
}


def artifact_class(title: str) -> type[Artifact]:
    """The class of a type.

    Args:
      title: ``tfx.<class>`` for TFX's own types; for others, as TFX compiles them, where the class
        is imported from, which is also its ``TYPE_NAME``.

    Raises:
      ValueError: if there is no such class.
    """
    found: type[Artifact]
    try:
        if title.startswith("tfx."):
            found = getattr(standard_artifacts, title.removeprefix("tfx."))
        else:
            found = import_utils.import_class_by_path(title)
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(f"there is no artifact type {title!r}: {error}") from None
    return found


def to_tfx(described: Described) -> Artifact:
    """An artifact whose URI is the local path."""
    artifact = artifact_class(described.type)()
    artifact.uri = described.path
    if described.name.isdigit():
        artifact.id = int(described.name)
    properties = artifact.artifact_type.properties
    for key, value in described.metadata.items():
        if key in properties:
            setattr(artifact, key, _CASTS.get(properties[key], lambda v: v)(value))
        else:
            artifact.set_json_value_custom_property(key, value)
    # Reading it writes down the JSON values, without which the getters find nothing.
    artifact.set_mlmd_artifact(artifact.mlmd_artifact)
    return artifact


def prepare_inputs(inputs: dict[str, list[Artifact]]) -> None:
    """Makes the folders of empty inputs: no object in a bucket tells that there was a folder."""
    for artifact in (a for artifacts in inputs.values() for a in artifacts):
        if not isinstance(artifact, ValueArtifact) and not fileio.exists(artifact.uri):
            fileio.makedirs(artifact.uri)


def prepare_outputs(outputs: dict[str, list[Artifact]]) -> None:
    """Makes the outputs' folders, as TFX's own launcher does, and for values empty files.

    ``prepareOutputFolders`` of Kubeflow's launcher makes their parents only.
    """
    outputs_utils.make_output_dirs(outputs)


def executor_output(
    outputs: dict[str, list[Artifact]], described: dict[str, Described], storage: Storage
) -> dict[str, Any]:
    """ExecutorOutput as JSON, which the launcher merges into what it knows of the outputs.

    * Properties without a value are left out, as are numbers that JSON has no word for:
      ``StructValueToMLMDValue`` (kubeflow/pipelines ``backend/src/v2/metadata/converter.go``)
      refuses null.
    * Local paths become URIs again. ModelBlessing names both models by URI, and the container's
      paths mean nothing outside it; the launcher would also upload to an output's path.

    Args:
      outputs: what the executor filled in.
      described: the outputs as the launcher described them.
      storage: where the artifacts lie.
    """
    outputs_utils.tag_output_artifacts_with_version(outputs)
    told = {}
    for key, artifacts in outputs.items():
        artifact = artifact_utils.get_single_instance(artifacts)
        told[key] = {
            "name": described[key].name,
            "uri": described[key].uri,
            "metadata": {
                name: storage.remote(value)
                for name, value in _properties(artifact.mlmd_artifact)
                if value is not None
            },
        }
    return {"artifacts": {key: {"artifacts": [artifact]} for key, artifact in told.items()}}


def _properties(artifact: metadata_store_pb2.Artifact) -> Iterator[tuple[str, Any]]:
    for group in (artifact.properties, artifact.custom_properties):
        for name in sorted(group):
            kind = group[name].WhichOneof("value")
            value = getattr(group[name], kind) if kind else None
            if kind == "struct_value":
                held = json_format.MessageToDict(value)
                value = held.get("__value__", held)
            yield name, None if isinstance(value, float) and not math.isfinite(value) else value

"""What Kubeflow keeps of artifacts in ML Metadata, and of executions in its cache."""

import dataclasses
from typing import Any


def to_stored(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata as ML Metadata keeps it (``StructValueToMLMDValue``, ``converter.go``).

    Raises:
      ValueError: for null, which has no form there.
    """
    stored: dict[str, Any] = {}
    for key, value in metadata.items():
        if value is None:
            raise ValueError(
                "failed to convert RuntimeArtifact to MLMD artifact: "
                f"unknown/unsupported value type *structpb.Value_NullValue ({key})"
            )
        if isinstance(value, list):
            stored[key] = {"list": value}
        elif isinstance(value, dict):
            stored[key] = {"struct": value}
        else:
            stored[key] = int(value) if isinstance(value, bool) else value
    return stored


@dataclasses.dataclass
class MetadataStore:
    """Artifacts by id, and by fingerprint the outputs of an execution that may be taken again."""

    artifacts: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)
    cache: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def record(self, output: str, artifact: dict[str, Any]) -> int:
        """Keeps an artifact; its id (``RecordArtifact``, ``metadata/client.go``).

        Raises:
          ValueError: if its metadata cannot be kept.
        """
        metadata = to_stored(artifact.get("metadata", {}))
        defaults = {"display_name": output, "store_session_info": '{"Provider":"minio"}'}
        identifier = len(self.artifacts) + 1
        self.artifacts[identifier] = {"uri": artifact["uri"], "metadata": defaults | metadata}
        return identifier

    def runtime_artifact(self, identifier: int) -> dict[str, Any]:
        """An artifact as a later task is told of it.

        ``ToRuntimeArtifact`` (``metadata/client.go``) fills in the schema, and who calls it,
        ``GetOutputArtifactsByExecutionId``, has none.
        """
        return {
            "name": str(identifier),
            "type": {"instanceSchema": ""},
            **self.artifacts[identifier],
        }

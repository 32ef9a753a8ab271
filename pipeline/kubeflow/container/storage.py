"""Where an artifact lies for the launcher (a URI), and for code in the container (a path).

The launcher of Kubeflow Pipelines downloads a task's inputs before its command runs and uploads its
outputs afterwards, from and to a folder by scheme: ``LocalPathForURI`` in
kubeflow/pipelines ``backend/src/v2/component/launcher_v2.go``. Vertex AI mounts Cloud Storage at
``/gcs``, the same folder. So code that knows only files works on both, and what TensorFlow and Beam
cannot open (``minio://``; ``s3://`` left TensorFlow's core) need not be opened.
"""

import dataclasses
import os
from typing import Any

ROOT = "PIPELINE_LOCAL_ROOT"
"""Environment variable: the folder that stands for ``/``, so that tests need not write there."""

_ELSEWHERE = ("DataflowRunner", "FlinkRunner", "PortableRunner", "SparkRunner")
_FOLDERS = {"minio": "minio", "s3": "s3", "gs": "gcs"}


@dataclasses.dataclass(frozen=True)
class Storage:
    """Maps URIs to local paths and back.

    Attributes:
      root: what stands for ``/``.
      native: schemes that stay as they are.
    """

    root: str = "/"
    native: frozenset[str] = frozenset()

    def local(self, uri: str) -> str:
        """The path of a URI; what has no path, or is one, comes back as it is."""
        scheme, separator, rest = uri.partition("://")
        if not separator or scheme not in _FOLDERS or scheme in self.native:
            return uri
        return f"{self._folder(scheme)}{rest}"

    def remote(self, value: Any) -> Any:
        """The URI of a path; anything else, as metadata may hold it, comes back as it is."""
        if isinstance(value, str):
            for scheme in _FOLDERS:
                if value.startswith(self._folder(scheme)):
                    return f"{scheme}://{value.removeprefix(self._folder(scheme))}"
        return value

    def _folder(self, scheme: str) -> str:
        return f"{self.root.rstrip('/')}/{_FOLDERS[scheme]}/"


def storage_for(beam_args: list[str]) -> Storage:
    """The storage as a task's workers see it.

    Workers on other machines see no folder of the container that starts them, but open ``gs://``
    themselves.

    Args:
      beam_args: the task's Beam arguments.
    """
    elsewhere = any(f"--runner={runner}" in beam_args for runner in _ELSEWHERE)
    distributed = elsewhere and "--environment_type=LOOPBACK" not in beam_args
    return Storage(os.environ.get(ROOT, "/"), frozenset({"gs"} if distributed else ()))

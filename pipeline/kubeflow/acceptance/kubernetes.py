"""Rules of Kubeflow Pipelines' way to Kubernetes: Argo Workflows, pods and the PlatformSpec."""

import json
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.kubeflow.acceptance.rules import Candidate, Rule
from pipeline.kubeflow.mend import PLACEHOLDERS

_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
_ID_LENGTH = 128 - len("-driver")
_RESERVED = {"root", "root-driver", "entrypoint"}
_WORKFLOW_BYTES = 1 << 20
_OBJECT = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,253}")
_LABEL_KEY = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?"
)
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_RESOURCE = re.compile(r"[a-z0-9][a-z0-9.-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
# Of KubernetesExecutorConfig what KFP 2.0 knows already; subPath came later.
_FIELDS = {
    "secretAsEnv": {"secretName", "keyToEnv"},
    "pvcMount": {"constant", "mountPath", "subPath"},
    "nodeSelector": {"labels"},
    "tolerations": {"key", "operator", "value", "effect"},
}


def _documents(candidate: Candidate) -> Iterator[str]:
    if candidate.documents > 2:
        yield f"there are {candidate.documents} YAML documents: expected a spec and a platform"
    if candidate.platform:
        try:
            json_format.ParseDict(candidate.platform, pipeline_spec_pb2.PlatformSpec())
        except json_format.ParseError as error:
            yield f"the second document is no PlatformSpec: {str(error).partition(chr(10))[0]}"
        if "kubernetes" not in candidate.platform.get("platforms", {}):
            yield "the second document says nothing of 'kubernetes', and is left out unread"


def _ids(candidate: Candidate) -> Iterator[str]:
    for name in candidate.tasks:
        if not _ID.fullmatch(name):
            yield f"task {name!r}: expected letters, digits and hyphens"
        elif len(name) > _ID_LENGTH:
            yield f"task {name!r} has {len(name)} characters: expected at most {_ID_LENGTH}"
        if name in _RESERVED or name.removesuffix("-driver") in set(candidate.tasks) - {name}:
            yield f"task {name!r} is called like one that Kubeflow makes itself"


def _braces(candidate: Candidate) -> Iterator[str]:
    for place, text in _texts([candidate.spec, candidate.platform], ""):
        if "{{" in text and text not in PLACEHOLDERS | {"{{$}}"}:
            at = text.index("{{")
            yield f"{place} holds {text[at : at + 30]!r}, which Argo would replace"


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, place)


def _size(candidate: Candidate) -> Iterator[str]:
    size = len(json.dumps([candidate.spec, candidate.platform]).encode())
    if size > _WORKFLOW_BYTES:
        yield f"the package takes {size >> 10} KiB, of the 1 MiB that a workflow may take"


def _configs(candidate: Candidate) -> dict[str, dict[str, Any]]:
    deployment = candidate.platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec")
    found: dict[str, dict[str, Any]] = (deployment or {}).get("executors", {})
    return found


def _config_fields(candidate: Candidate) -> Iterator[str]:
    for label, config in _configs(candidate).items():
        if label not in candidate.executors:
            yield f"the platform configures executor {label!r}, which there is not"
        for field, value in config.items():
            if field not in _FIELDS:
                yield f"executor {label}: KFP 2.0 knows no {field!r} of a pod"
                continue
            for entry in value if isinstance(value, list) else [value]:
                for unknown in sorted(set(entry) - _FIELDS[field]):
                    yield f"executor {label}: KFP 2.0 knows no {unknown!r} of {field}"


def _pods(candidate: Candidate) -> Iterator[str]:
    for label, config in _configs(candidate).items():
        for secret in config.get("secretAsEnv", []):
            if not _OBJECT.fullmatch(secret.get("secretName", "")):
                yield f"executor {label}: {secret.get('secretName')!r} can't be a secret's name"
            for pair in secret.get("keyToEnv", []):
                if not _KEY.fullmatch(pair.get("secretKey", "")):
                    yield f"executor {label}: {pair.get('secretKey')!r} can't be a secret's key"
        for mount in config.get("pvcMount", []):
            path = mount.get("mountPath", "")
            if not _OBJECT.fullmatch(mount.get("constant", "")) or len(mount["constant"]) > 63:
                yield f"executor {label}: {mount.get('constant')!r} can't be a volume's name"
            if not path.startswith("/") or ":" in path:
                yield f"executor {label}: {path!r} can't be where a volume is mounted"
            if ".." in mount.get("subPath", "").split("/") or mount.get("subPath", "")[:1] == "/":
                yield f"executor {label}: {mount['subPath']!r} can't be a folder in a volume"
        for key, value in config.get("nodeSelector", {}).get("labels", {}).items():
            if not (_LABEL_KEY.fullmatch(key) and _LABEL.fullmatch(value)):
                yield f"executor {label}: {key}={value} can't be a node's label"


def _environment(candidate: Candidate) -> Iterator[str]:
    for label, container in candidate.containers.items():
        config = _configs(candidate).get(label, {})
        names = [variable["name"] for variable in container.get("env", [])]
        names += [p["envVar"] for s in config.get("secretAsEnv", []) for p in s["keyToEnv"]]
        for name in sorted({n for n in names if names.count(n) > 1 or not _ENV.fullmatch(n)}):
            yield f"executor {label}: variable {name!r} is set twice, or can't be one"


def _accelerators(candidate: Candidate) -> Iterator[str]:
    for label, container in candidate.containers.items():
        kind = container.get("resources", {}).get("accelerator", {}).get("type")
        if kind is not None and not _RESOURCE.fullmatch(kind):
            yield f"executor {label}: accelerator {kind!r}: expected such as 'nvidia.com/gpu'"


RULES = tuple(
    Rule(name, source, check, ("kfp",))
    for name, source, check in (
        ("documents", "v2_template.go, IsPlatformSpecWithKubernetesConfig", _documents),
        (
            "task ids",
            "Argo Workflows, workflow/validate: workflowFieldNameFmt; "
            "backend/src/v2/compiler/argocompiler/dag.go",
            _ids,
        ),
        ("braces", "Argo Workflows: template tags are replaced everywhere", _braces),
        ("workflow size", "Argo Workflows, docs/offloading-large-workflows.md", _size),
        (
            "pod fields",
            "kubernetes_platform/proto/kubernetes_executor_config.proto, read strictly",
            _config_fields,
        ),
        ("pod names", "Kubernetes: names, labels, volume mounts", _pods),
        ("environment", "Kubernetes: EnvVar, listed by name", _environment),
        ("accelerator", "backend/src/v2/driver/driver.go: a pod's resource limit", _accelerators),
    )
)

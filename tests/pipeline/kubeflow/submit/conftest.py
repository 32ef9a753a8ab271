"""A server to submit to, a package, and settings that name both."""

import itertools
import pathlib

import pytest
import yaml

from pipeline.nodes import node_ids
from pipeline.settings import load_settings, parse_settings
from tests.kfp_server.server import KfpServer

ROOT = pathlib.Path(__file__).parents[4]
BASE = ROOT / "tests/settings/valid/sql_only.yaml"
STAGES = node_ids(load_settings(BASE))
DIGEST = "sha256:" + "0123456789abcdef" * 4


def package_text(change: str = "") -> str:
    """The settings' stages in a row, with parameters of several types."""
    text = {"parameterType": "STRING"}
    stages = {
        name: [before] if before else [] for before, name in itertools.pairwise(["", *STAGES])
    }
    spec = {
        "schemaVersion": "2.1.0",
        "sdkVersion": "tfx-1.16.0",
        "pipelineInfo": {"name": "plant-failures"},
        "root": {
            "dag": {
                "tasks": {
                    name: {
                        "taskInfo": {"name": name},
                        "componentRef": {"name": name},
                        **({"dependentTasks": waits} if waits else {}),
                    }
                    for name, waits in stages.items()
                }
            },
            "inputDefinitions": {
                "parameters": {
                    "as_of": text | {"defaultValue": "2025-04-17"},
                    "epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 1.0},
                    "fast": {"parameterType": "BOOLEAN", "isOptional": True},
                }
            },
        },
        "components": {name: {"executorLabel": f"{name}_executor"} for name in stages},
        "deploymentSpec": {
            "executors": {
                f"{name}_executor": {
                    "container": {
                        "image": f"registry.example/plant@{DIGEST}",
                        "command": ["python", "-c"],
                        "args": [f"print('{name}{change}')"],
                    }
                }
                for name in stages
            }
        },
    }
    return yaml.safe_dump(spec)


@pytest.fixture(scope="session")
def _server():
    server = KfpServer()
    yield server
    server.stop()


@pytest.fixture
def server(_server, monkeypatch):
    """Empty, open to all, without faults."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    _server.reset()
    return _server


@pytest.fixture
def package(tmp_path) -> pathlib.Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(package_text())
    return path


def settings_text(host: str, more: str = "") -> str:
    text = BASE.read_text()
    text = text.replace("name: churn", "name: plant-failures")
    block = {
        "host": host,
        "image": f"registry.example/plant@{DIGEST}",
        "pipeline_root": "minio://mlpipeline/v2/artifacts",
        "experiment": "nightly",
        "service_account": "pipeline-runner",
    } | yaml.safe_load(more or "{}")
    return text + yaml.safe_dump({"kubeflow": block})


@pytest.fixture
def kubeflow(server):
    """Makes the kubeflow settings that name the server, with more of them in YAML."""

    def make(more: str = "", host: str | None = None):
        return parse_settings(settings_text(host or server.url, more)).kubeflow

    return make


@pytest.fixture
def settings_file(server, tmp_path):
    """Writes settings that name the server, with more of them in YAML."""

    def write(more: str = "", host: str | None = None) -> pathlib.Path:
        path = tmp_path / "settings.yaml"
        path.write_text(settings_text(host or server.url, more))
        return path

    return write

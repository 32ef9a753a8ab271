"""A project in a folder of its own, run through the command line as a user does."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import yaml
from ml_metadata.proto import metadata_store_pb2

from pipeline import history
from tests import demo_project

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Project:
    """A folder with settings and data, and the command line in it."""

    folder: pathlib.Path

    @property
    def settings_file(self) -> pathlib.Path:
        return self.folder / "settings.yaml"

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs' records, oldest first."""
        files = sorted((self.folder / "var/runs").glob("*/run.json"))
        return [json.loads(f.read_text()) | {"folder": f.parent} for f in files]

    @property
    def execution_states(self) -> set[str]:
        """What ML Metadata says became of all stages of all runs."""
        store = history.open_store(self.folder / "var/metadata.db")
        name = metadata_store_pb2.Execution.State.Name
        return {name(execution.last_known_state) for execution in store.get_executions()}

    @property
    def model_folder(self) -> pathlib.Path:
        return self.folder / "var/serving/plant-failures"

    def versions(self) -> list[int]:
        """The version folders that a server would see."""
        if not self.model_folder.exists():
            return []
        return sorted(int(p.name) for p in self.model_folder.iterdir() if p.name.isdigit())

    def change(self, **blocks: Any) -> None:
        """Replaces top-level blocks of settings.yaml."""
        settings = yaml.safe_load(self.settings_file.read_text())
        self.settings_file.write_text(yaml.safe_dump(settings | blocks, sort_keys=False))

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        """Starts the command line in this folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "160"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self, *words: str, code: int = 0, **environment: str) -> str:
        """Runs the command line to its end and returns what it printed."""
        process = self.start(*words, **environment)
        printed, _ = process.communicate(timeout=600)
        assert process.returncode == code, printed
        return printed


def make_project(folder: pathlib.Path, machines: int = 12, days: int = 60) -> Project:
    """A small plant, and the repository's own settings fitted to its length."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load(demo_project.SETTINGS.read_text())
    settings["as_of"] = "2025-02-20"
    settings["split"] = {"by": "time", "train": "34d", "eval": "10d"}
    settings["schema"] = str(demo_project.SCHEMA)
    settings["training"] = settings["training"] | {"epochs": 4}
    # Few machines and few failures: that a model comes out counts here, not how good it is.
    settings["evaluation"]["metrics"] = {"auc": {"min": 0.5, "may_drop": 0.5}}
    # What a busy machine's latency is does not count either.
    gate = {"rate": 20, "seconds": 1}
    settings["serving"] = settings["serving"] | {"latency_p99_ms": 10_000, "gate": gate}
    project = Project(folder)
    project.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))
    project.call("demo", "--machines", str(machines), "--days", str(days))
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for a file's tests, which build on each other in the file's order."""
    return make_project(tmp_path_factory.mktemp("project"))

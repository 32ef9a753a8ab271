"""Each notebook, executed as it is committed, in a project with a small plant."""

import os
import pathlib
import shutil
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from tests.end_to_end.conftest import ROOT, Project, make_project
from tests.ports import free_port

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module", name="project")
def a_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One without a run yet; these tests build on each other."""
    return make_project(tmp_path_factory.mktemp("notebooks"))


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def execute(project: Project, path: pathlib.Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Runs every cell; what they printed and drew, by kind."""
    folder = project.folder / "notebooks"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder)
    patch.setenv("PYTHONPATH", str(ROOT))
    patch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    book = nbformat.read(folder / path.name, 4)
    place = {"metadata": {"path": str(folder)}}
    # Those that Jupyter itself finds free may be taken by the time that the kernel listens.
    ports = {f"{name}_port": free_port() for name in ("shell", "iopub", "stdin", "hb", "control")}
    NotebookClient(
        book,
        timeout=600,
        startup_timeout=300,
        kernel_name="python3",
        resources=place,
        config=Config({"KernelManager": {"cache_ports": False, **ports}}),
    ).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    return {
        "text": "".join(output.get("text", "") for output in outputs),
        "pictures": sum("image/png" in output.get("data", {}) for output in outputs),
        "tables": sum("text/html" in output.get("data", {}) for output in outputs),
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path: pathlib.Path) -> None:
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    for cell in book.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    assert os.fspath(ROOT) not in path.read_text(encoding="utf-8")


def test_the_data_are_explored(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = execute(project, ROOT / "notebooks/01_explore_data.ipynb", monkeypatch)
    assert "12 machine_ids" in seen["text"]
    assert (seen["pictures"], seen["tables"] >= 4) == (3, True)


def test_the_pipeline_is_gone_through(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = execute(project, ROOT / "notebooks/02_debug_the_pipeline.ipynb", monkeypatch)
    assert "Trainer: " in seen["text"] and "Evaluator: blessed" in seen["text"]
    assert project.versions() == []


def test_the_model_is_evaluated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # There is no run yet: the notebook makes one.
    seen = execute(project, ROOT / "notebooks/03_evaluate_the_model.ipynb", monkeypatch)
    assert project.versions() == [1]
    assert (seen["pictures"], seen["tables"] >= 4) == (1, True)


def test_what_if(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = execute(project, ROOT / "notebooks/04_what_if_online.ipynb", monkeypatch)
    assert "version 1: " in seen["text"]
    assert (seen["pictures"], seen["tables"] >= 2) == (2, True)

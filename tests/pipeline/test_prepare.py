"""What prepare.sh chooses and says; its uv is a stand-in that installs nothing."""

import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

import pytest

from pipeline import stacks

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
STACK = stacks.of_python(VERSION)
assert STACK is not None

UV = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/../calls"
case "$1" in
    venv) mkdir -p "$5/bin" && ln -sf "$4" "$5/bin/python" ;;
    python) exit 1 ;;
esac
"""


class Copy:
    """What prepare.sh reads, in a folder of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "infra/environment", folder / "infra/environment")
        shutil.copytree(ROOT / "requirements", folder / "requirements")
        (folder / "pipeline").mkdir()
        shutil.copy(ROOT / "pipeline/stacks.py", folder / "pipeline")
        tools = folder / ".tools/uv"
        (tools / "bin").mkdir(parents=True)
        (tools / "bin/uv").write_text(UV)
        (tools / "bin/uv").chmod(0o755)
        lock = (folder / "requirements/uv.txt").read_bytes()
        (tools / ".lock").write_text(hashlib.sha256(lock).hexdigest()[:16])

    def prepare(self, kind: str = "run", code: int = 0, **environment: str) -> str:
        """Calls prepare.sh and returns what it said."""
        clean = {k: v for k, v in os.environ.items() if k not in ("TFX", "PYTHON")}
        done = subprocess.run(
            ["infra/environment/prepare.sh", kind],
            cwd=self.folder,
            env=clean | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        return done.stderr

    def ask_for_python(self, version: str) -> None:
        """Lets every stack run on this Python only, and on any C library."""
        path = self.folder / "pipeline/stacks.py"
        asked = re.sub(r"pythons=\(.*\)", f'pythons=("{version}",)', path.read_text())
        asked = re.sub(r"glibc=\(.*\)", "glibc=(2, 5)", asked)
        path.write_text(re.sub(r'"GLIBCXX_.*"', '"GLIBCXX_3.4.1"', asked))

    @property
    def synced(self) -> list[str]:
        """The locks that uv was told to install, in order."""
        calls = self.folder / ".tools/uv/calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [line.split()[-1] for line in lines if line.startswith("pip sync")]


@pytest.fixture
def copy(tmp_path: pathlib.Path) -> Copy:
    return Copy(tmp_path)


def test_the_stack_of_the_named_python_is_installed_once(copy: Copy) -> None:
    said = copy.prepare(PYTHON=sys.executable)
    assert f"Preparing .venv with TFX {STACK.name} on Python {platform.python_version()}" in said
    assert copy.prepare(PYTHON=sys.executable) == ""
    assert copy.prepare() == ""
    assert copy.synced == [f"requirements/tfx-{STACK.name}.txt"]


def test_what_tests_need_holds_what_runs_need(copy: Copy) -> None:
    copy.prepare("dev", PYTHON=sys.executable)
    assert copy.prepare("run") == ""
    assert copy.synced == [f"requirements/tfx-{STACK.name}-dev.txt", "requirements/mlflow.txt"]


def test_mlflow_comes_where_settings_name_a_registry(copy: Copy) -> None:
    copy.prepare(PYTHON=sys.executable)
    settings = copy.folder / "settings.yaml"
    settings.write_text("project: {name: plant}\nregistry:\n  kind: mlflow\n")
    assert copy.prepare() == "Preparing .tools/mlflow …\n"
    assert copy.prepare() == ""
    assert copy.synced == [f"requirements/tfx-{STACK.name}.txt", "requirements/mlflow.txt"]


def test_a_renewed_lock_is_installed(copy: Copy) -> None:
    copy.prepare(PYTHON=sys.executable)
    with (copy.folder / f"requirements/tfx-{STACK.name}.txt").open("a") as lock:
        lock.write("# renewed\n")
    assert "Preparing .venv" in copy.prepare(PYTHON=sys.executable)
    assert len(copy.synced) == 2


def test_a_stack_by_name_gets_an_environment_of_its_own(copy: Copy) -> None:
    said = copy.prepare(TFX=STACK.name, PYTHON=sys.executable)
    assert f"Preparing .venv-{STACK.name} with TFX {STACK.name}" in said
    assert not (copy.folder / ".venv").exists()


def test_a_machine_that_cannot_load_the_newest_gets_the_next_and_is_told_why(copy: Copy) -> None:
    """The newest stack asks for a C library that no machine has; a script stands for 3.10."""
    path = copy.folder / "pipeline/stacks.py"
    path.write_text(path.read_text().replace("glibc=(2, 39)", "glibc=(9, 9)"))
    python = copy.folder / "bin/python3.10"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Python 3.10.99'\nexit 0\n")
    python.chmod(0o755)
    said = copy.prepare(PATH=f"{python.parent}:{os.environ['PATH']}")
    assert "Not TFX 1.21: it needs glibc 9.9 or newer" in said
    assert "Preparing .venv with TFX 1.16 on Python 3.10.99" in said
    assert copy.synced == ["requirements/tfx-1.16.txt"]


def test_a_python_that_no_stack_runs_on_is_told(copy: Copy) -> None:
    copy.ask_for_python("3.99")
    said = copy.prepare(TFX=STACK.name, PYTHON=sys.executable, code=1)
    assert "3.99" in said
    assert f"and PYTHON={sys.executable} is Python {platform.python_version()}" in said


def test_an_unknown_stack_is_told(copy: Copy) -> None:
    assert "known are 1.21, 1.16" in copy.prepare(TFX="1.17", code=2)


def test_a_python_that_cannot_be_found_or_fetched_is_told(copy: Copy) -> None:
    copy.ask_for_python("3.99")
    said = copy.prepare(TFX=STACK.name, code=1)
    assert "Asking uv to fetch 3.99" in said
    assert "none could be found or fetched: pyenv install 3.99" in said


def test_a_failed_installation_is_not_taken_for_one(copy: Copy) -> None:
    uv = copy.folder / ".tools/uv/bin/uv"
    works = uv.read_text()
    uv.write_text(works.replace("python) exit 1", "pip) exit 1"))
    assert "apt install g++" in copy.prepare(PYTHON=sys.executable, code=1)
    uv.write_text(works)
    assert "Ready" in copy.prepare(PYTHON=sys.executable)


def test_the_environment_of_another_checkout_is_left_alone(copy: Copy) -> None:
    other = copy.folder / "other"
    other.mkdir()
    (copy.folder / ".venv").symlink_to(other)
    said = copy.prepare(PYTHON=sys.executable, code=1)
    assert f".venv is a link to {other}" in said
    assert copy.synced == [] and not list(other.iterdir())

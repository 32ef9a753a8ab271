"""Cookiecutter and cruft, called as a user calls them."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools/template/bin"
SHIM = ROOT / "{{cookiecutter.__folder}}"
NAME = "plant-failures"


@dataclasses.dataclass(frozen=True)
class Called:
    """How a program ended, and all that it printed."""

    code: int
    told: str


def call(folder: pathlib.Path, *words: str, answers: str = "", **variables: str) -> Called:
    """Runs a program of the template's environment, or another, where a user stands in ``folder``.

    Args:
      folder: where.
      words: the program and its arguments.
      answers: what is typed.
      variables: environment variables beside this process's own.
    """
    environment = {
        "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
        "PWD": str(folder),
        # Replays and clones of cookiecutter's go there, not into the user's own.
        "COOKIECUTTER_CONFIG": str(_config(folder)),
        **{
            f"GIT_{who}_{what}": "t@example.com"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
        **variables,
    }
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | environment,
        input=answers,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Called(done.returncode, done.stdout)


def _config(folder: pathlib.Path) -> pathlib.Path:
    place = folder.parent / f".{folder.name}-cookiecutter"
    place.mkdir(exist_ok=True)
    config = place / "config.yaml"
    config.write_text(f"cookiecutters_dir: {place}/clones/\nreplay_dir: {place}/replay/\n")
    return config


def bake(
    folder: pathlib.Path, template: str, *options: str, **answers: Any
) -> tuple[Called, pathlib.Path]:
    """Bakes a project without questions.

    Args:
      folder: where the project's folder is made.
      template: the template as a user names it.
      options: cookiecutter's.
      answers: those that differ from the defaults.

    Returns:
      How it ended, and the project's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"{name}={value}" for name, value in answers.items()]
    told = call(folder, "cookiecutter", "--no-input", *options, template, *words)
    return told, next(folder.iterdir(), folder / NAME)


def files(folder: pathlib.Path) -> dict[str, tuple[bytes, bool]]:
    """The content of each file by its path, and whether it may be executed; without git's own."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK))
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def git(folder: pathlib.Path, *words: str) -> str:
    """Runs git and returns what it printed."""
    done = call(folder, "git", *words)
    assert done.code == 0, done.told
    return done.told


def commit_all(folder: pathlib.Path, message: str) -> None:
    """Commits all that lies in a folder; makes it a repository where it is none."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def copy_template(folder: pathlib.Path) -> pathlib.Path:
    """A repository that holds the template as it stands here, also what is not committed yet."""
    listed = git(ROOT, "ls-files", "-z").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).exists():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    commit_all(folder, "the template")
    return folder

"""Lays the template's own tree into the new project, beside the files that cookiecutter rendered.

A rendered file wins over the tree's; a rendered file that is empty gives way to it. Cookiecutter
puts the answers in; nothing else here is Jinja.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

LEFT_OUT = re.compile(
    r"\{|hooks/|template_tests/|\.ci/|cookiecutter\.json$|CHANGELOG\.md$|docs/template\.md$"
)
"""What is the template's alone; all other tracked files are the project's, too."""

DEMO = ("settings.yaml", "schemas/schema.pbtxt", "infra/kubeflow/settings.yaml")
"""What the project has in words of its own, and its tests read as the demo has it."""

_FEATURE = re.compile(r"^feature \{\n  name: \"(.+)\"\n(?:  .*\n)*\}\n", re.MULTILINE)
_MANUAL = "## Two commands"


class TemplateError(Exception):
    """Why the project can't be made, and how to mend it."""


@contextlib.contextmanager
def template() -> Iterator[pathlib.Path]:
    """The template's folder: the one that cookiecutter reads, else a clone of it.

    Cookiecutter may name its folder relative to where it was called, and cruft names none.
    """
    named = ANSWERS.get("_repo_dir")
    if named:
        for start in (os.environ.get("PWD", "/"), ANSWERS.get("_output_dir", "/")):
            folder = pathlib.Path(start, named)
            if (folder / "cookiecutter.json").exists() and (folder / "hooks").is_dir():
                yield folder
                return
    source, commit = ANSWERS["_template"], ANSWERS.get("_commit") or ANSWERS.get("_checkout")
    with tempfile.TemporaryDirectory() as temporary:
        clone = pathlib.Path(temporary, "template")
        _git("clone", "--quiet", source, str(clone))
        if commit:
            _git("-C", str(clone), "checkout", "--quiet", commit)
        yield clone


def tracked(root: pathlib.Path) -> list[str]:
    """The files that git tracks; without git (a zip) all that .gitignore lets through."""
    if (root / ".git").exists():
        listed = _git("-C", str(root), "ls-files", "-z")
    else:
        with tempfile.TemporaryDirectory() as temporary:
            _git("init", "--quiet", temporary)
            place = (f"--git-dir={temporary}/.git", f"--work-tree={root}")
            listed = _git(*place, "ls-files", "-z", "--others", "--exclude-standard", cwd=root)
    names = [name for name in listed.split("\0") if name and not LEFT_OUT.match(name)]
    return [name for name in names if (root / name).is_file()]


def lay(root: pathlib.Path, project: pathlib.Path) -> None:
    """Puts the template's files into the project.

    Raises:
      TemplateError: if there are none, or git fails.
    """
    for path in project.rglob("*"):
        if path.is_file() and not path.read_text(encoding="utf-8").strip():
            path.unlink()
    names = tracked(root)
    if "pipeline/definition.py" not in names:
        raise TemplateError(f"{root} does not hold the pipeline: is it the whole template?")
    for name in names:
        target = project / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
            # A zip forgets what may be executed.
            target.chmod(0o755 if target.read_bytes().startswith(b"#!") else 0o644)
    for folder in sorted((p for p in project.rglob("*") if p.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def keep_demo(root: pathlib.Path, project: pathlib.Path) -> None:
    """Lays the demo's settings and schema into ``demo/project``, where the tests look for them."""
    for name in DEMO:
        target = project / "demo" / "project" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
        target.chmod(0o644)


def fit_schema(root: pathlib.Path, project: pathlib.Path) -> None:
    """Makes the demo's schema that of the answers: the rendered one holds only another label.

    One's own tables get theirs from `python -m pipeline init`.
    """
    path = project / "schemas" / "schema.pbtxt"
    if ANSWERS["spine_source"] == "sql":
        path.unlink()
        path.parent.rmdir()
        return
    label = path.read_text(encoding="utf-8")
    demo = (root / "schemas" / "schema.pbtxt").read_text(encoding="utf-8")

    def fitted(feature: "re.Match[str]") -> str:
        name = feature[1]
        if name == "fails_within_24h" and ANSWERS["task"] != "binary":
            return label
        without = name.startswith("telemetry_") and ANSWERS["sensor_source"] == "none"
        return "" if without else feature[0]

    path.write_text(_FEATURE.sub(fitted, demo), encoding="utf-8")


def finish_readme(root: pathlib.Path, project: pathlib.Path) -> None:
    """Puts the template's manual under the project's own head."""
    path = project / "README.md"
    _, heading, manual = (root / "README.md").read_text(encoding="utf-8").partition(_MANUAL)
    if not heading:
        raise TemplateError(f"README.md has no heading {_MANUAL!r}: the manual begins there")
    path.write_text(path.read_text(encoding="utf-8") + "\n" + heading + manual, encoding="utf-8")


def _git(*words: str, cwd: "pathlib.Path | None" = None) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, check=True)
    except FileNotFoundError:
        raise TemplateError("git was not found: install it (apt install git)") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise TemplateError(f"git {words[0]} failed: {said}") from None
    return done.stdout.decode("utf-8")


def advice(slug: str) -> str:
    """What to do next."""
    if ANSWERS["spine_source"] == "sql":
        variable = ANSWERS["database_url_env"]
        return (
            f"  cd {slug}\n"
            f"  export {variable}=postgresql://user:password@host/database\n"
            "  make doctor                                            # prepares .venv\n"
            "  .venv/bin/python -m pipeline init\n"
            "  make run"
        )
    return (
        f"  cd {slug}\n"
        "  make run                          # prepares .venv, makes the demo's data, runs\n"
        "For your own tables: .venv/bin/python -m pipeline init"
    )


if __name__ == "__main__":
    here = pathlib.Path.cwd()
    try:
        with template() as origin:
            lay(origin, here)
            keep_demo(origin, here)
            fit_schema(origin, here)
            finish_readme(origin, here)
    except TemplateError as error:
        print(f"✗ {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{ANSWERS['project_name']} is made. Next:\n{advice(here.name)}")

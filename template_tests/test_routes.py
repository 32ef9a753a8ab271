"""Every way to the template gives the same bytes."""

import os
import pathlib
import shutil
import zipfile

import pytest

from template_tests.baking import NAME, bake, call, files, git


def by_relative_path(template: pathlib.Path, folder: pathlib.Path) -> str:
    return os.path.relpath(template, folder)


def by_git_url(template: pathlib.Path, folder: pathlib.Path) -> str:
    return f"git+file://{template}"


def by_archive(template: pathlib.Path, folder: pathlib.Path) -> str:
    """As a code host makes it: the tracked files in one folder."""
    file = folder.parent / "template.zip"
    git(template, "archive", "--prefix=template-main/", f"--output={file}", "HEAD")
    return str(file)


def by_zipped_folder(template: pathlib.Path, folder: pathlib.Path) -> str:
    """As somebody makes it of a folder in use: without git, with caches and a run's data."""
    file, root = folder.parent / "zipped.zip", folder.parent / "template"
    shutil.copytree(template, root, ignore=shutil.ignore_patterns(".git"))
    for name in ("var/demo/plant.db", ".venv/bin/python", "pipeline/__pycache__/a.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("#!not the template's")
    with zipfile.ZipFile(file, "w") as archive:
        # Cookiecutter takes the first entry for the folder that holds all others.
        for path in (root, *sorted(root.rglob("*"))):
            archive.write(path, path.relative_to(root.parent))
    return str(file)


ROUTES = [by_relative_path, by_git_url, by_archive, by_zipped_folder]


@pytest.mark.parametrize("route", ROUTES)
def test_route_gives_the_same_bytes(route, template, default, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    told, project = bake(folder, route(template, folder))
    assert told.code == 0, told.told
    assert files(project) == files(default)


def test_relative_path_with_another_output_folder(template, default, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    path = by_relative_path(template, folder)
    told, _ = bake(folder, path, "--output-dir", "deep/down")
    assert told.code == 0, told.told
    assert files(folder / "deep/down" / NAME) == files(default)


def test_a_relative_path_does_not_hang_on_the_shells_variable(template, default, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    path = by_relative_path(template, folder)
    told = call(folder, "cookiecutter", "--no-input", path, PWD="/nowhere")
    assert told.code == 0, told.told
    assert files(folder / NAME) == files(default)


@pytest.mark.parametrize("named", ["absolute", "relative", "url"])
def test_cruft_gives_the_same_bytes(named, template, default, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    words = {
        "absolute": str(template),
        "relative": by_relative_path(template, folder),
        "url": f"file://{template}",
    }
    told = call(folder, "cruft", "create", "--no-input", words[named])
    assert told.code == 0, told.told
    found = files(folder / NAME)
    del found[".cruft.json"]
    assert found == files(default)


def test_local_data_and_caches_stay_out(template, default, tmp_path):
    used = tmp_path / "template"
    shutil.copytree(template, used)
    for name in ("var/demo/plant.db", ".env", "notes.txt", "pipeline/__pycache__/a.pyc"):
        (used / name).parent.mkdir(parents=True, exist_ok=True)
        (used / name).write_text("mine")
    told, project = bake(tmp_path / "here", str(used))
    assert told.code == 0, told.told
    assert files(project) == files(default)


def test_a_part_of_the_template_is_refused(template, tmp_path):
    part = tmp_path / "part"
    for name in ("cookiecutter.json", "hooks", "{{cookiecutter.__folder}}"):
        copy = shutil.copytree if (template / name).is_dir() else shutil.copy
        part.mkdir(exist_ok=True)
        copy(template / name, part / name)
    told, project = bake(tmp_path / "here", str(part))
    assert told.code != 0
    assert "does not hold the pipeline: is it the whole template?" in told.told
    assert not project.exists()

"""A project follows the template by cruft, and what its people changed stays."""

import pathlib
import shutil

import pytest

from template_tests.baking import NAME, ROOT, bake, call, commit_all, copy_template, files, git


def _previous(tmp_path: pathlib.Path) -> pathlib.Path:
    """The template as its newest release before this commit; without one, as the commit before."""
    folder = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", "--no-checkout", str(ROOT), str(folder))
    described = call(folder, "git", "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^")
    before = described.told.strip() if described.code == 0 else "HEAD^"
    git(folder, "checkout", "--quiet", "-B", "main", before)
    return folder


def _simulated(tmp_path: pathlib.Path) -> pathlib.Path:
    """The template as an earlier release: other code, a file less and one more, another shim."""
    folder = copy_template(tmp_path / "template")
    _replace(folder / "trainer/model.py", '"""', '"""Of an earlier release: ')
    _replace(folder / "settings.yaml", "epochs: 10", "epochs: 9")
    _replace(folder / "{{cookiecutter.__folder}}/settings.yaml", "epochs: 10", "epochs: 9")
    (folder / "pipeline/fingerprint.py").unlink()
    (folder / "pipeline/forgotten.py").write_text('"""Gone since."""\n')
    commit_all(folder, "an earlier release")
    return folder


def _replace(path: pathlib.Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _release(folder: pathlib.Path) -> None:
    """Makes the template what it is here, and a commit of that even where nothing differs."""
    for path in folder.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "CHANGELOG.md").write_text("")
    commit_all(folder, "on the way to the next release")
    copy_template(folder)


@pytest.mark.parametrize("release", [_simulated, _previous])
def test_edits_survive_an_update(release, tmp_path):
    """By the tags of releases, as docs/template.md says."""
    template_before = release(tmp_path)
    git(template_before, "tag", "--force", "v0.1.0")
    folder = tmp_path / "here"
    folder.mkdir()
    context = '{"task": "regression", "sensor_source": "none"}'
    words = ["--no-input", "--checkout", "v0.1.0", "--extra-context", context]
    told = call(folder, "cruft", "create", *words, str(template_before))
    assert told.code == 0, told.told
    project = folder / NAME
    commit_all(project, "baked")
    assert call(project, "cruft", "check").code == 0

    _replace(project / "settings.yaml", "train: 60d", "train: 45d")
    _replace(project / "trainer/preprocessing.py", '"""', '"""Ours. ')
    (project / "trainer/ours.py").write_text('"""Ours."""\n')
    commit_all(project, "ours")
    assert call(project, "cruft", "check").code == 0

    _release(template_before)
    git(template_before, "tag", "--force", "v0.2.0")
    newer = ["--checkout", "v0.2.0"]
    assert call(project, "cruft", "check", *newer).code == 1
    told = call(project, "cruft", "update", "--skip-apply-ask", *newer)
    assert told.code == 0, told.told
    assert call(project, "cruft", "check", *newer).code == 0
    assert not list(project.rglob("*.rej"))

    told, fresh = bake(
        tmp_path / "fresh", str(template_before), task="regression", sensor_source="none"
    )
    assert told.code == 0, told.told
    wanted = files(fresh)
    found = files(project)
    del found[".cruft.json"]
    assert set(found) - set(wanted) == {"trainer/ours.py"}
    assert set(wanted) - set(found) == set()
    assert {name for name in wanted if found[name] != wanted[name]} == {
        "settings.yaml",
        "trainer/preprocessing.py",
    }
    settings = found["settings.yaml"][0].decode()
    assert settings == wanted["settings.yaml"][0].decode().replace("train: 60d", "train: 45d")
    assert "epochs: 10" in settings


def test_update_with_other_answers(template, tmp_path):
    """What was answered can be changed later, as long as settings.yaml was not."""
    folder = tmp_path / "here"
    folder.mkdir()
    assert call(folder, "cruft", "create", "--no-input", str(template)).code == 0
    project = folder / NAME
    commit_all(project, "baked")
    told = call(
        project, "cruft", "update", "--skip-apply-ask", "--variables-to-update", '{"ci": "gitlab"}'
    )
    assert told.code == 0, told.told
    assert (project / ".gitlab-ci.yml").exists()
    assert not (project / ".github").exists()

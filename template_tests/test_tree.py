"""What differs between the template's tree and a project's is a short, known list."""

import itertools
import json
import pathlib
import re

import pytest

from template_tests.baking import ROOT, bake, files, git

TEMPLATE_ONLY = (
    ".ci/",
    "CHANGELOG.md",
    "cookiecutter.json",
    "docs/template.md",
    "hooks/",
    "template_tests/",
    "{{cookiecutter.__folder}}/",
)
DIFFERS = {
    "LICENSE",
    "README.md",
    "infra/kubeflow/settings.yaml",
    "schemas/schema.pbtxt",
    "settings.yaml",
}
# The demo's settings and schema, for the project's tests.
KEPT = {
    f"demo/project/{name}"
    for name in ("settings.yaml", "schemas/schema.pbtxt", "infra/kubeflow/settings.yaml")
}
CI = {
    "github": ".github/workflows/pipeline.yml",
    "gitlab": ".gitlab-ci.yml",
    "jenkins": "Jenkinsfile",
}
QUESTIONS = {
    name: value
    for name, value in json.loads((ROOT / "cookiecutter.json").read_text()).items()
    if not name.startswith("_")
}


def live() -> dict[str, bytes]:
    names = git(ROOT, "ls-files", "-z").split("\0")
    return {
        name: (ROOT / name).read_bytes()
        for name in names
        if name and not name.startswith(TEMPLATE_ONLY) and (ROOT / name).exists()
    }


def contents(project: pathlib.Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in files(project).items()}


def test_default_project_is_the_live_tree(default):
    found, tree = contents(default), live()
    assert set(found) - set(tree) == {CI["github"], *KEPT}
    assert {found[name] for name in KEPT} == {
        tree[name.removeprefix("demo/project/")] for name in KEPT
    }
    assert set(tree) - set(found) == set()
    assert {name for name in tree if found[name] != tree[name]} == {"README.md"}


def test_what_git_can_execute_can_be_executed(default):
    listed = git(ROOT, "ls-files", "--stage").splitlines()
    wanted = {
        line.split("\t")[1]
        for line in listed
        if line.startswith("100755") and not line.split("\t")[1].startswith(TEMPLATE_ONLY)
    }
    assert wanted <= {name for name, (_, executable) in files(default).items() if executable}


def test_readme_is_the_projects_head_and_the_manual(default):
    text = (default / "README.md").read_text()
    assert text.startswith("# Plant failures\n\nPredicts from the plant's database and sensors")
    manual = (ROOT / "README.md").read_text().partition("## Two commands")[2]
    assert manual and text.endswith(manual)


# Each answer at least once, and what changes the same file together.
VARIANTS = [
    {"task": "multiclass", "ci": "gitlab", "license": "MIT", "registry": "mlflow"},
    {"task": "multiclass", "sensor_source": "none", "ci": "none", "license": "proprietary"},
    {"task": "regression", "sensor_source": "none", "ci": "jenkins", "serving": "kubernetes"},
    {"task": "regression", "training_strategy": "none", "kubeflow_host": "https://kfp.acme.test/p"},
    {"sensor_source": "none", "training_strategy": "mirrored", "serving": "kubernetes"},
    {"spine_source": "sql", "database_url_env": "ACME_DB", "training_strategy": "multi_worker"},
    {"spine_source": "sql", "sensor_source": "none", "task": "regression", "ci": "none"},
    {
        "training_strategy": "tpu",
        "project_name": "Ofen Überwachung 2",
        "kubeflow_image": "acme:5000/a/b@sha256:" + "1a" * 32,
    },
]


def test_every_answer_is_tried():
    choices = {(name, v) for name, vs in QUESTIONS.items() if isinstance(vs, list) for v in vs}
    defaults = {(name, vs[0]) for name, vs in QUESTIONS.items() if isinstance(vs, list)}
    tried = set(itertools.chain.from_iterable(variant.items() for variant in VARIANTS))
    assert choices - defaults <= tried


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda v: "-".join(v.values())[:40])
def variant(request, template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("variant") / "here"
    told, project = bake(folder, str(template), **request.param)
    assert told.code == 0, told.told
    return project, request.param


def test_only_the_allowed_files_differ(variant):
    project, answers = variant
    found, tree = contents(project), live()
    ci = answers.get("ci", "github")
    assert set(found) - set(tree) == KEPT | ({CI[ci]} if ci in CI else set())
    lacks = {"schemas/schema.pbtxt"} if answers.get("spine_source") == "sql" else set()
    assert set(tree) - set(found) == lacks
    assert {name for name in tree if found.get(name) != tree[name]} - lacks <= DIFFERS


def test_nothing_is_left_unrendered(variant):
    project, _ = variant
    tree = live()
    for name, content in contents(project).items():
        if content != tree.get(name):
            text = content.decode()
            assert not re.search(r"(?<!\$)\{\{|\{%|\{#|cookiecutter\.", text), name
            assert text.endswith("\n") and not text.endswith("\n\n"), name
            assert not text.startswith("\n"), name

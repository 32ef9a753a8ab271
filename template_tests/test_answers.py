"""Wrong answers are told what would be right, and nothing is left behind."""

import pytest

from template_tests.baking import NAME, bake, call

WRONG = [
    ("project_name", "", "project_name is empty"),
    ("project_name", "  ", "project_name is empty"),
    ("project_name", "a\nb", "one line without control characters"),
    ("project_name", "n" * 81, "has 81 characters: expected at most 80"),
    ("project_name", "<b>plant</b>", "expected plain text"),
    ("project_name", "123", "project_slug is '123'"),
    ("project_slug", "", "project_slug is ''"),
    ("project_slug", "Plant", "expected up to 63 lower-case letters"),
    ("project_slug", "plant_failures", "such as 'plant-failures'"),
    ("project_slug", "7-plants", "beginning with a letter"),
    ("project_slug", "plant--failures", "single hyphens"),
    ("project_slug", "-plant", "project_slug is '-plant'"),
    ("project_slug", "a/b", "project_slug is 'a/b'"),
    ("project_slug", "../up", "project_slug is '../up'"),
    ("project_slug", "/tmp/elsewhere", "project_slug is '/tmp/elsewhere'"),
    ("project_slug", ".", "project_slug is '.'"),
    ("project_slug", "p" * 64, "expected up to 63"),
    ("project_slug", "plant failures", "project_slug is 'plant failures'"),
    ("description", "", "description is empty"),
    ("description", "d" * 201, "description has 201 characters"),
    ("description", "a `rm -rf` b", "expected plain text"),
    ("author", "", "author is empty"),
    ("author", "a\tb", "without control characters"),
    ("database_url_env", "", "expected one such as 'PLANT_DB_URL'"),
    ("database_url_env", "postgresql://me:secret@host/db", "not what it holds"),
    ("database_url_env", "PLANT-DB", "no name of an environment variable"),
    ("database_url_env", "1DB", "no name of an environment variable"),
    ("kubeflow_host", "", "or 'none'"),
    ("kubeflow_host", "kubeflow.example", "expected a URL such as"),
    ("kubeflow_host", "ftp://kubeflow.example", "expected a URL such as"),
    ("kubeflow_host", "https://", "expected a URL such as"),
    ("kubeflow_host", "https://host:99999", "expected a URL such as"),
    ("kubeflow_host", "https://a b", "expected a URL such as"),
    ("kubeflow_host", "https://me:secret@kubeflow.example", "holds a user or a password"),
    ("kubeflow_image", "", "expected a name without a tag"),
    ("kubeflow_image", "registry.example/plant:latest", "expected a name without a tag"),
    ("kubeflow_image", "registry.example/Plant", "expected a name without a tag"),
    ("kubeflow_image", "plant@sha256:abc", "and 64 digits"),
    ("kubeflow_image", "plant: {x: y}", "expected a name without a tag"),
    ("task", "ranking", "choices are ['binary', 'multiclass', 'regression']"),
    ("spine_source", "excel", "choices are ['demo', 'sql']"),
    ("sensor_source", "opc-ua", "choices are ['files', 'none']"),
    (
        "training_strategy",
        "horovod",
        "choices are ['auto', 'none', 'mirrored', 'multi_worker', 'tpu']",
    ),
    ("serving", "lambda", "choices are ['embedded', 'kubernetes']"),
    ("registry", "vertex", "choices are ['none', 'mlflow']"),
    ("license", "GPL-3.0", "choices are ['Apache-2.0', 'MIT', 'proprietary']"),
    ("ci", "circle", "choices are ['github', 'gitlab', 'jenkins', 'none']"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG, ids=lambda v: str(v)[:24])
def test_wrong_answer(name, value, says, template, tmp_path):
    folder = tmp_path / "deep" / "here"
    told, _ = bake(folder, str(template), **{name: value})
    assert told.code != 0
    assert says in " ".join(told.told.split())
    assert "secret" not in told.told
    assert list(folder.iterdir()) == []
    assert {p.name for p in folder.parent.iterdir()} == {"here", ".here-cookiecutter"}


def test_all_wrong_answers_are_told_at_once(template, tmp_path):
    told, _ = bake(tmp_path / "here", str(template), author="", project_slug="X", kubeflow_host="x")
    for name in ("author is empty", "project_slug is 'X'", "kubeflow_host is 'x'"):
        assert name in told.told


def test_typed_answers(template, tmp_path):
    """As a user types them: choices by number, Enter for what is proposed."""
    folder = tmp_path / "here"
    folder.mkdir()
    typed = ["Ovens", "", "", "", "3", "", "", "2", *[""] * 7]
    told = call(folder, "cookiecutter", str(template), answers="\n".join(typed) + "\n")
    assert told.code == 0, told.told
    assert "hours until the next failure" in told.told
    settings = (folder / "ovens/settings.yaml").read_text()
    assert "task: regression" in settings and "telemetry" not in settings
    assert "Ovens is made. Next:\n  cd ovens\n  make run" in told.told


def test_a_project_that_is_there_stays_as_it_is(template, tmp_path):
    folder = tmp_path / "here"
    (folder / NAME).mkdir(parents=True)
    (folder / NAME / "mine.txt").write_text("mine")
    for options in ([], ["--overwrite-if-exists"]):
        told = call(folder, "cookiecutter", "--no-input", *options, str(template))
        assert told.code != 0
        assert "already" in told.told
        assert [p.name for p in (folder / NAME).iterdir()] == ["mine.txt"]


def test_nothing_that_is_answered_is_executed(template, tmp_path):
    """Answers end up in hooks' source text."""
    evil = "a''' + \"\"\" + __import__('os').system('touch evil') # \\"
    told, project = bake(tmp_path / "here", str(template), author=evil)
    assert told.code == 0, told.told
    assert evil in (project / "README.md").read_text()
    assert not list(tmp_path.rglob("evil"))

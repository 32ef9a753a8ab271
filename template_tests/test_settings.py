"""The settings, schema and CI files of every variant are right, before anything runs."""

import re

import pytest
import yaml

from components.curated_schema.schema_file import columns, read_schema
from pipeline.init.before import start
from pipeline.init.document import may_replace
from pipeline.settings import load_settings
from pipeline.settings.features import expand
from template_tests.baking import ROOT, bake, call
from template_tests.test_tree import CI

LABELS = {
    "binary": "fails_within_24h",
    "multiclass": "failing_part",
    "regression": "hours_to_failure",
}
DEMO = [(task, sensors) for task in LABELS for sensors in ("files", "none")]


@pytest.fixture(scope="module")
def bakes(template, tmp_path_factory):
    """Bakes a project of some answers, once."""
    made = {}

    def baked(**answers):
        key = tuple(sorted(answers.items()))
        if key not in made:
            told, made[key] = bake(tmp_path_factory.mktemp("baked") / "p", str(template), **answers)
            assert told.code == 0, told.told
        return made[key]

    return baked


@pytest.mark.parametrize(("task", "sensors"), DEMO)
def test_demo_settings_and_schema_agree(task, sensors, bakes):
    project = bakes(task=task, sensor_source=sensors)
    settings = load_settings(project / "settings.yaml")
    found = columns(read_schema(project / "schemas/schema.pbtxt"))
    assert (settings.label.name, settings.label.task) == (LABELS[task], task)
    assert ("telemetry" in settings.sources) == (sensors == "files")
    assert {name for name in found if name in LABELS.values()} == {LABELS[task]}
    assert any(name.startswith("telemetry_") for name in found) == (sensors == "files")
    kinds, errors = expand(settings.features, found, settings.reserved_columns)
    assert kinds and not errors


ANSWERS = [
    {"spine_source": "sql", "database_url_env": "ACME_DB", "sensor_source": "none"},
    {"spine_source": "sql", "task": "regression", "serving": "kubernetes"},
    {"task": "multiclass", "training_strategy": "mirrored", "registry": "mlflow"},
    {"kubeflow_host": "https://kfp.acme.test/pipeline", "kubeflow_image": "acme:5000/plant"},
    {"sensor_source": "none", "serving": "kubernetes", "training_strategy": "multi_worker"},
    {"training_strategy": "tpu"},
]


@pytest.mark.parametrize("answers", ANSWERS, ids=lambda a: "-".join(a.values())[:40])
def test_answers_reach_both_settings_files(answers, bakes):
    project = bakes(**answers)
    here, cluster = (
        load_settings(project / name) for name in ("settings.yaml", "infra/kubeflow/settings.yaml")
    )
    told = {"database_url_env": "PLANT_DB_URL", "task": "binary", "serving": "embedded", **answers}
    for settings in (here, cluster):
        assert settings.project.name == settings.serving.model == project.name
        assert settings.spine_source.url_env == told["database_url_env"]
        assert settings.label.task == told["task"]
        assert settings.training.strategy == answers.get("training_strategy", "auto")
        assert settings.serving.rollout == (
            "canary" if told["serving"] == "kubernetes" else "at_once"
        )
    assert (here.registry is not None) == (answers.get("registry") == "mlflow")
    assert here.kubeflow is None
    kubeflow = cluster.kubeflow
    assert kubeflow is not None
    assert kubeflow.host == answers.get("kubeflow_host", "https://kubeflow.example/pipeline")
    assert kubeflow.image.startswith(
        answers.get("kubeflow_image", f"registry.example/{project.name}") + "@sha256:"
    )
    assert told["database_url_env"] in kubeflow.nodes["SqlExampleGen-observations"].secrets
    assert set(kubeflow.nodes) - {"__default__", "Champion", "VersionPusher"} == {
        f"{'Sql' if source.kind == 'sql' else 'Sensor'}ExampleGen-{name}"
        for name, source in cluster.sources.items()
    }


@pytest.mark.parametrize("answers", [{}, {"spine_source": "sql"}, {"task": "regression"}])
def test_init_may_replace_what_is_baked(answers, bakes):
    project = bakes(**answers)
    for name in ("settings.yaml", "infra/kubeflow/settings.yaml"):
        assert may_replace(project / name)
        assert bool(start(project / name)) == ("spine_source" in answers)


def scripts(ci, project):
    """The shell lines of a CI file."""
    text = (project / CI[ci]).read_text()
    if ci == "jenkins":
        return re.findall(r"sh '(.+)'", text)
    jobs = yaml.safe_load(text)
    if ci == "gitlab":
        return [line for job in jobs.values() if "script" in job for line in job["script"]]
    return [step["run"] for job in jobs["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("ci", CI)
def test_ci_calls_targets_that_there_are(ci, bakes):
    project = bakes(ci=ci)
    lines = scripts(ci, project)
    called = [line.split()[1] for line in lines if line.startswith("make ")]
    assert called == ["lint", "test", "compile", "submit", "gate", "promote"]
    targets = re.findall(r"^([a-z0-9.-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(called) <= set(targets)


@pytest.mark.parametrize(
    ("ci", "schema"), [("github", "vendor.github-workflows"), ("gitlab", "vendor.gitlab-ci")]
)
def test_ci_file_follows_its_schema(ci, schema, bakes, tmp_path):
    project = bakes(ci=ci)
    words = ["--builtin-schema", schema]
    words += ["--data-transform", "gitlab-ci"] if ci == "gitlab" else []
    told = call(project, "check-jsonschema", *words, CI[ci])
    assert told.code == 0, told.told
    text = (project / CI[ci]).read_text()
    for right, wrong in (("runs-on:", "run-on:"), ("script:", "scripts:")):
        text = text.replace(right, wrong)
    (tmp_path / "wrong.yml").write_text(text)
    assert call(tmp_path, "check-jsonschema", *words, "wrong.yml").code == 1


def test_jenkinsfile_is_a_declarative_pipeline_on_both_stacks(bakes):
    """Jenkins alone can check it wholly; here its blocks, its stages and its stacks are."""
    text = (bakes(ci="jenkins") / "Jenkinsfile").read_text()
    code = re.sub(r"//.*|'[^'\n]*'|\"[^\"\n]*\"", "", text)
    depth = 0
    for sign in re.findall(r"[{}]", code):
        depth += 1 if sign == "{" else -1
        assert depth >= 0
    assert depth == 0 and code.strip().startswith("pipeline {")
    assert re.findall(r"stage\('(.+)'\)", text) == [
        "Both stacks",
        "Test",
        "Compile",
        "Submit to staging",
        "Gate",
        "Promote",
    ]
    assert "values '1.16', '1.21'" in text


@pytest.mark.parametrize("ci", CI)
def test_ci_names_every_stack(ci, bakes):
    from pipeline.stacks import STACKS

    text = (bakes(ci=ci) / CI[ci]).read_text()
    assert {stack.name for stack in STACKS} == set(re.findall(r"[\"'](1\.\d\d)[\"']", text))

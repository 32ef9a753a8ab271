"""Baked projects run: from the demo's data to a pushed version, lint, tests, a package."""

import json
import time

import pytest

from template_tests.baking import bake, call, commit_all

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(3000)]

VARIANTS = {
    "default": {},
    "sql-only-regression": {"task": "regression", "sensor_source": "none"},
    "multiclass": {"task": "multiclass", "project_name": "Failing parts"},
}
# Those that settings could break; all of them take a quarter of an hour a project.
TESTS = "tests/settings tests/trainer tests/test_setup.py tests/pipeline/test_definition.py"
TESTS += " tests/pipeline/kubeflow/test_compile.py tests/pipeline/init"


@pytest.fixture(scope="module", params=VARIANTS)
def project(request, template, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "here"
    told, project = bake(folder, str(template), **VARIANTS[request.param])
    assert told.code == 0, told.told
    commit_all(project, "baked")
    settings = project / "settings.yaml"
    text = settings.read_text()
    # How long a busy machine takes to answer tells nothing of the template.
    changed = text.replace("keep_versions: 5", "keep_versions: 5, latency_p99_ms: 10000")
    assert changed != text
    settings.write_text(changed)
    return project


def make(project, target, arguments=""):
    started = time.monotonic()
    told = call(project, "make", target, f"ARGS={arguments}", COLUMNS="160", TFX="", PYTHON="")
    assert told.code == 0, told.told
    print(f"{project.name}: make {target} took {time.monotonic() - started:.0f} s")
    return told.told


def test_run_pushes_a_version(project):
    """The demo's label can be learned: a gate that only a good model passes lets it through."""
    told = make(project, "run")
    assert "version 1 pushed" in told, told
    version = project / "var/serving" / project.name / "1"
    release = json.loads((version / "assets.extra/release.json").read_text())
    assert release["metrics"]["example_count"] > 4000
    assert "version" in call(project, ".venv/bin/python", "-m", "pipeline", "versions").told


def test_schema_is_what_the_data_say(project):
    told = call(project, ".venv/bin/python", "-m", "pipeline", "schema", "infer")
    assert "schemas/schema.pbtxt needs no change" in told.told, told.told


def test_lint(project):
    assert "All checks passed!" in make(project, "lint")


def test_tests(project):
    told = make(project, "test", f"{TESTS} -q -m 'not end_to_end and not services'")
    assert " passed" in told


def test_compile(project):
    make(project, "compile")
    assert (project / "var/kubeflow/pipeline.yaml").exists()

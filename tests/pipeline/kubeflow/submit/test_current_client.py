"""PyPI's newest kfp in an environment of its own, without TFX: the same verb, given a package."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.kfp_server.faults import Fault
from tests.pipeline.kubeflow.submit.conftest import ROOT, package_text

CLIENT = ["kfp", "click", "pydantic", "pyyaml", "requests", "rich", "sqlalchemy", "tenacity"]
CALLS = """
import json, sys
from click.testing import CliRunner
from pipeline.__main__ import main
for words in json.load(sys.stdin):
    result = CliRunner().invoke(main, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    print(json.dumps([result.exit_code, " ".join(result.output.split())]))
import kfp
assert "tfx" not in sys.modules
print(json.dumps(kfp.__version__))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> pathlib.Path:
    """The interpreter of an environment with the newest client."""
    folder = tmp_path_factory.mktemp("kfp-current")
    python = folder / "bin/python"
    uv = shutil.which("uv", path=ROOT / ".tools/uv/bin") or shutil.which("uv")
    if uv:
        make = [uv, "venv", "--quiet", "--python", sys.executable, folder]
        install = [uv, "pip", "install", "--quiet", "--python", python, *CLIENT]
    else:
        make = [sys.executable, "-m", "venv", folder]
        install = [python, "-m", "pip", "install", "--quiet", *CLIENT]
    for command in (make, install):
        subprocess.run(command, check=True)
    return python


def test_upload_version_run_poll_cancel_and_schedule(
    python, server, settings_file, package, tmp_path
):
    server.door.kind, server.multi_user = "token", True
    server.outcomes["Trainer"] = "STUCK"
    server.faults += [
        Fault("POST", "upload$", "reset", after=True),
        Fault("POST", "/runs$", 503, after=True),
        Fault("GET", "/runs/", "reset", times=5),
    ]
    settings = settings_file("auth: {kind: token}\nnamespace: plant")
    newer = tmp_path / "newer.yaml"
    newer.write_text(package_text("2"))
    first = "00000000-0000-0000-0000-000000000004"
    submit = ["--settings", str(settings), "submit", "--poll", "0.01"]
    cron = ["--package", str(newer), "--cron", "0 3 * * *"]
    calls = [
        ["--package", str(package), "--no-wait", "-p", "epochs=3"],
        ["--status", first],
        ["--cancel", first],
        ["--follow", first],
        [*cron],
        [*cron],
        [*cron, "-p", "epochs=4"],
        ["--disable"],
    ]
    done = subprocess.run(
        [python, "-W", "ignore", "-c", CALLS],
        input=json.dumps([[*submit, *words] for words in calls]),
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "KFP_TOKEN": "right-token"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *results, version = [json.loads(line) for line in done.stdout.splitlines()]
    assert tuple(map(int, version.split(".")[:2])) >= (2, 16)
    codes = [code for code, _ in results]
    texts = [text for _, text in results]
    assert codes == [0, 0, 0, 3, 0, 0, 0, 0], texts
    assert f"run {first} {server.url}/#/runs/details/{first}" in texts[0]
    assert texts[3].endswith("The run was cancelled.")
    assert [text.rpartition(": ")[2] for text in texts[4:7]] == [
        "made.",
        "left as it is.",
        "replaced.",
    ]
    assert len(server.store.pipelines) == 1 and len(server.store.versions) == 2
    (run,) = server.store.runs.values()
    assert run["runtime_config"]["parameters"]["epochs"] == 3
    (recurring,) = server.store.recurring.values()
    assert recurring["status"] == "DISABLED"

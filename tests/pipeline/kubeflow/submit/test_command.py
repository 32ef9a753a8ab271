"""The verb submit from its options to its exit code, with the locked kfp client."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from pipeline.__main__ import main
from tests.kfp_server.faults import Fault
from tests.pipeline.kubeflow.submit.conftest import ROOT, package_text


@pytest.fixture
def submit(server, settings_file, package):
    """Calls the verb with the package; its exit code and what it printed."""

    def call(*words: str, more: str = "", host: str | None = None, packed: bool = True):
        given = ["--package", str(package)] if packed else []
        path = str(settings_file(more, host))
        result = CliRunner().invoke(
            main, ["--settings", path, "submit", "--poll", "0.01", *given, *words]
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(result.output.split())

    return call


def only(table: dict) -> dict:
    (row,) = table.values()
    return row


def test_a_run_to_its_end(server, submit):
    code, text = submit("--as-of", "2025-05-01", "-p", "epochs=3", "-p", "fast=true")
    assert code == 0
    run = only(server.store.runs)
    assert f"Kubeflow Pipelines 2.16.0 at {server.url} version plant-failures-" in text
    assert f"run {run['run_id']} {server.url}/#/runs/details/{run['run_id']}" in text
    assert re.search(r"done SqlExampleGen-customers \d+\.\d s done ", text)
    assert re.search(r"done VersionPusher \d+\.\d s The run succeeded\.$", text)
    assert run["runtime_config"]["parameters"] == {
        "as_of": "2025-05-01T00:00:00Z",
        "epochs": 3,
        "fast": True,
    }
    assert submit("--as-of", "2025-05-01")[1].count("was there already") == 1
    assert len(server.store.versions) == 1 and len(server.store.runs) == 2


def test_now_is_the_moment_of_submission(server, submit):
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    submit("--no-wait")
    as_of = only(server.store.runs)["runtime_config"]["parameters"]["as_of"]
    assert began <= as_of <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.mark.parametrize("how", ["FAILED", "DRIVER"])
def test_a_failing_stage_ends_with_1(server, submit, how):
    server.outcomes["Trainer"] = how
    code, text = submit()
    assert code == 1
    assert "failed Trainer" in text and "skipped VersionPusher" in text
    run = only(server.store.runs)["run_id"]
    assert text.endswith(f"Trainer failed. Its log: {server.url}/#/runs/details/{run}")


def test_a_run_may_be_left(server, submit):
    code, _ = submit("--no-wait")
    assert (code, only(server.store.runs)["state"]) == (0, "PENDING")
    assert not [line for line in server.seen if line.startswith("GET /apis/v2beta1/runs/")]


def test_status_follow_and_cancel(server, submit):
    server.outcomes["Trainer"] = "STUCK"
    submit("--no-wait")
    run = only(server.store.runs)["run_id"]
    for _ in range(40):
        code, text = submit("--status", run, packed=False)
        assert code == 0
        if "… Trainer" in text or "⠋ Trainer" in text:
            break
    assert "✓ Transform" in text and "· VersionPusher" in text and " running " in text
    code, text = submit("--cancel", run, packed=False)
    assert (code, text.endswith(f"Run {run} is being cancelled.")) == (0, True)
    code, text = submit("--follow", run, packed=False)
    assert (code, text.endswith("The run was cancelled.")) == (3, True)
    code, text = submit("--cancel", run, packed=False)
    assert code == 1 and "400 Failed to terminate run" in text


def test_an_unknown_run_is_told(submit):
    for option in ("--status", "--follow", "--cancel"):
        code, text = submit(option, "nine", packed=False)
        assert code == 1 and "404 ResourceNotFoundError: nine not found." in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("cancels", [False, True])
def test_an_interrupt_leaves_the_run_or_cancels_it(server, submit, number, cancels):
    server.outcomes["Trainer"] = "STUCK"

    def interrupt() -> None:
        while not any(line.startswith("GET /apis/v2beta1/runs/") for line in list(server.seen)):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code, text = submit(*(["--cancel-on-interrupt"] if cancels else []))
    thread.join()
    run = only(server.store.runs)
    assert code == 130
    if cancels:
        assert run["state"] == "CANCELING"
        assert text.endswith("Stopped. The run is being cancelled.")
    else:
        assert run["state"] in ("PENDING", "RUNNING")
        assert f"submit --follow {run['run_id']} watches it" in text
        assert f"submit --cancel {run['run_id']} cancels it" in text


def test_a_recurring_run_stands_at_the_time_it_is_made(server, submit):
    code, text = submit("--cron", "0 3 * * *", "--name", "plant-nightly")
    assert (code, text.endswith("recurring run plant-nightly (0 3 * * *): made.")) == (0, True)
    row = only(server.store.recurring)
    as_of = row["runtime_config"]["parameters"]["as_of"]
    assert as_of == "[[CurrentTime.2006-01-02T15:04:05Z]]"
    assert not server.store.runs
    assert submit("--cron", "0 3 * * *", "--name", "plant-nightly")[1].endswith("left as it is.")
    assert submit("--cron", "0 4 * * *", "--name", "plant-nightly")[1].endswith("replaced.")
    code, text = submit("--disable", "--name", "plant-nightly", packed=False)
    assert (code, text.endswith("The recurring run plant-nightly is stopped.")) == (0, True)


def test_an_old_server_writes_no_scheduled_time(server, submit):
    server.version = "2.5.0"
    code, text = submit("--cron", "0 3 * * *")
    assert code == 1 and "2.5.0 writes no time" in text
    assert submit("--cron", "0 3 * * *", "--as-of", "2025-05-01")[0] == 0


def test_a_server_that_is_away_for_a_while_is_asked_again(server, submit):
    server.faults += [
        Fault("GET", "/runs/", 503, times=2),
        Fault("GET", "/runs/", "reset", times=5),
    ]
    code, text = submit()
    assert code == 0
    assert re.search(r"no answer \(\w+\), asking again …", text)
    assert text.count("asking again") <= 2


def test_a_server_that_stays_away_is_lost_sight_of(server, submit):
    server.faults.append(Fault("GET", "/runs/", 503, times=10_000))
    code, text = submit("--patience", "0.2")
    assert code == 4
    assert "No answer for 0 s" in text and "The run may go on:" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-p", "epoch=3"], "'epoch' is no parameter of the pipeline (as_of, epochs, fast); did"),
        (["-p", "epochs=many"], "-p 'epochs=many': expected a whole number"),
        (["-p", "epochs"], "-p 'epochs': expected name=value"),
        (["-p", "fast=1"], "-p 'fast=1': expected true or false"),
        (["--as-of", "may"], "--as-of 'may': expected"),
        (["--as-of", "now", "-p", "as_of=now"], "are one and the same: say one"),
        (["--cron", "@daily"], "--cron '@daily' has 1 fields"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_uploaded(server, submit, words, told):
    code, text = submit(*words)
    assert code == 1 and told in text
    assert not server.store.pipelines


def test_packages_that_are_none(server, submit, package):
    for content, told in [
        ("a: [", "is no pipeline package: "),
        ("a: 1", "it has no pipelineInfo"),
        (package_text().replace("2.1.0", "2.0.0"), "schemaVersion is '2.0.0': expected '2.1.0'"),
    ]:
        package.write_text(content)
        code, text = submit()
        assert code == 1 and told in text
    assert not server.store.pipelines


def test_settings_that_cannot_be_submitted(server, submit, tmp_path):
    code, text = submit(more="image: registry.example/plant:latest", packed=False)
    assert code == 1 and "kubeflow.image" in text
    assert not server.seen
    assert submit("--cron", "0 3 * * *", "--disable")[0] == 2
    bare = tmp_path / "bare.yaml"
    bare.write_text((ROOT / "tests/settings/valid/sql_only.yaml").read_text())
    result = CliRunner().invoke(main, ["--settings", str(bare), "submit"])
    assert result.exit_code == 1 and "the settings have no kubeflow block" in result.output


def test_a_wrong_host_is_told_before_tfx_is_imported(submit, monkeypatch):
    monkeypatch.setitem(sys.modules, "tfx", None)
    code, text = submit(host="http://nowhere.invalid")
    assert code == 1 and "there is no host of that name" in text


def test_help_imports_neither_kfp_nor_tfx():
    code = (
        "import sys; from click.testing import CliRunner; from pipeline.__main__ import main;"
        "assert CliRunner().invoke(main, ['submit', '--help']).exit_code == 0;"
        "assert not {'kfp', 'tfx', 'requests'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

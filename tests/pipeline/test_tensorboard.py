"""The verb ``tensorboard``: a real server, asked over HTTP for its runs."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tensorboard.compat.proto import event_pb2

from components.ingest.tfrecord import RecordWriter
from pipeline import history
from pipeline.__main__ import main
from tests import demo_project

RUNS = ("20250401-000000-aaaa", "20250402-000000-bbbb", "20250403-000000-cccc")


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> pathlib.Path:
    """Settings whose run folder is a temporary one."""
    text = demo_project.SETTINGS.read_text(encoding="utf-8")
    text += f"\nrun: {{directory: {tmp_path}/var}}\n"
    text = text.replace("serving: {", f"serving: {{directory: {tmp_path}/var/serving, ")
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def trained(settings: pathlib.Path) -> pathlib.Path:
    """Three runs: the first made version 1, the second took its model over, the third is at it."""
    var = settings.parent / "var"
    var.mkdir()
    store = history.open_store(var / "metadata.db")
    kinds = {
        name: store.put_context_type(mlmd.ContextType(name=name))
        for name in ("node", "pipeline_run")
    }
    trainer = store.put_execution_type(mlmd.ExecutionType(name="Trainer"))
    model_run = store.put_artifact_type(mlmd.ArtifactType(name="ModelRun"))
    (node,) = store.put_contexts([mlmd.Context(type_id=kinds["node"], name="plant.Trainer")])
    states = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED, mlmd.Execution.RUNNING)
    artifact = 0
    for number, (name, state) in enumerate(zip(RUNS, states, strict=True), 1):
        (run,) = store.put_contexts([mlmd.Context(type_id=kinds["pipeline_run"], name=name)])
        (execution,) = store.put_executions(
            [mlmd.Execution(type_id=trainer, last_known_state=state)]
        )
        store.put_attributions_and_associations(
            [], [mlmd.Association(execution_id=execution, context_id=c) for c in (node, run)]
        )
        folder = var / f"pipeline/Trainer/model_run/{execution}"
        assert execution == number
        if state != mlmd.Execution.CACHED:
            write_events(folder / "train")
        if state == mlmd.Execution.COMPLETE:
            (artifact,) = store.put_artifacts([mlmd.Artifact(type_id=model_run, uri=str(folder))])
        if state != mlmd.Execution.RUNNING:
            event = mlmd.Event(artifact_id=artifact, execution_id=execution, type=mlmd.Event.OUTPUT)
            event.path.steps.add(key="model_run")
            store.put_events([event])
    release = var / "serving/plant-failures/1/assets.extra/release.json"
    release.parent.mkdir(parents=True)
    release.write_text(json.dumps({"lineage": {"run_id": RUNS[0]}}))
    return settings


def write_events(folder: pathlib.Path) -> None:
    event = event_pb2.Event(step=1)
    event.summary.value.add(tag="epoch_loss", simple_value=0.5)
    with RecordWriter(f"{folder}/events.out.tfevents.1743465600.host") as writer:
        writer.write_records([event.SerializeToString()])


def start(settings: pathlib.Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", f"--settings={settings}", "tensorboard", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"http://127\.0\.0\.1:\d+/", line)
    if found is None:
        process.kill()
        process.wait()
        raise AssertionError(line)
    return process, found.group()


def runs(address: str) -> list[str]:
    with urllib.request.urlopen(f"{address}data/runs", timeout=30) as answer:
        return list(json.loads(answer.read()))


def wait_for_runs(address: str, count: int) -> list[str]:
    end = time.monotonic() + 60
    while len(found := runs(address)) < count:
        assert time.monotonic() < end, found
        time.sleep(0.2)
    return found


def test_it_shows_the_runs_by_name_and_ends_cleanly(trained: pathlib.Path) -> None:
    process, address = start(trained, "--port", "0")
    try:
        # The second took the first's model over, and shares its folder.
        assert wait_for_runs(address, 2) == [f"{RUNS[0]}-version-1/train", f"{RUNS[2]}/train"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with pytest.raises(urllib.error.URLError):
        runs(address)


def test_a_port_in_use_is_told(trained: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = CliRunner().invoke(main, [f"--settings={trained}", "tensorboard", "--port", port])
    assert told.exit_code == 1
    assert f"port {port} of 127.0.0.1 can't be listened on: Address already in use" in told.output


@pytest.mark.parametrize(
    ("run", "names"),
    [
        ("1", [f"{RUNS[0]}-version-1"]),
        (RUNS[0], [f"{RUNS[0]}-version-1"]),
        (RUNS[1], [RUNS[1]]),
        (f"{RUNS[0]}-version-1", [f"{RUNS[0]}-version-1"]),
    ],
)
def test_a_run_is_named_by_id_or_version(trained, monkeypatch, run, names) -> None:
    seen = []

    def serve(folder: str, host: str, port: int | None) -> str:
        linked = sorted(pathlib.Path(folder).iterdir())
        seen.append(([path.name for path in linked], [path.resolve().name for path in linked]))
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.tensorboard._serve", serve)
    told = CliRunner().invoke(main, [f"--settings={trained}", "tensorboard", run])
    assert told.exit_code == 0, told.output
    assert seen == [(names, ["1"])]


def test_without_a_run_it_says_what_to_do(settings: pathlib.Path) -> None:
    told = CliRunner().invoke(main, [f"--settings={settings}", "tensorboard"])
    assert told.exit_code == 1
    assert "nothing was trained in" in told.output
    assert "python -m pipeline run" in told.output


def test_an_unknown_run_is_told_with_the_newest(trained: pathlib.Path) -> None:
    told = CliRunner().invoke(main, [f"--settings={trained}", "tensorboard", "7"])
    assert told.exit_code == 1
    assert "run '7' trained nothing on this machine" in told.output
    assert f"{RUNS[0]}-version-1" in told.output.replace("\n", "")

import json
import logging
import pathlib
import sys

import pytest

from components.distributed_trainer import worker
from components.distributed_trainer.accessor import data_accessor
from components.distributed_trainer.launch import lines
from components.distributed_trainer.launch.job import Job, make_job
from components.distributed_trainer.settings import Launch, LoopbackWorkers
from observability.records import JsonFormatter

FN_ARGS = {
    "train_files": ["/a/examples/Split-train/*"],
    "base_model": None,
    "train_steps": 7,
    "serving_model_dir": "/a/Trainer/model/9/Format-Serving",
    "model_run_dir": "/a/Trainer/model_run/9",
    "custom_config": {"config": {"training": {"epochs": 3}}},
}
JOB = make_job("trainer.run.run_fn", FN_ARGS, "FORMAT_TF_EXAMPLE", pathlib.Path("/b"))


@pytest.mark.parametrize(
    ("cluster", "task", "index"),
    [
        (["worker"], ("worker", 0), 0),
        (["worker"], ("worker", 1), 1),
        (["chief", "worker"], ("chief", 0), 0),
        (["chief", "worker"], ("worker", 0), 1),
        (["chief", "worker"], ("worker", 1), 2),
    ],
)
def test_the_chief_is_the_one_named_so_or_the_first_worker(cluster, task, index):
    cluster = {kind: ["a:1"] if kind == "chief" else ["b:1", "c:1"] for kind in cluster}
    config = {"cluster": cluster, "task": {"type": task[0], "index": task[1]}}
    assert worker.index_of(json.dumps(config)) == index


def test_a_worker_on_its_own_is_the_chief():
    assert worker.index_of("") == 0


def test_only_the_chief_writes_where_the_model_goes():
    with worker.fn_args(JOB, chief=True) as chiefs, worker.fn_args(JOB, chief=False) as others:
        assert chiefs.serving_model_dir == FN_ARGS["serving_model_dir"]
        assert others.train_files == chiefs.train_files == FN_ARGS["train_files"]
        aside = pathlib.Path(others.serving_model_dir)
        assert aside.parent.is_dir()
        assert pathlib.Path(others.model_run_dir).parent == aside.parent
    assert not aside.parent.exists()


def test_a_job_goes_through_its_file():
    assert Job.from_json(JOB.to_json()) == JOB


def test_a_job_moves_with_all_its_places():
    moved = JOB.moved(lambda place: f"gs://bucket{place}", "gs://bucket/b")
    assert moved.fn_args["train_files"] == ["gs://bucket/a/examples/Split-train/*"]
    assert moved.fn_args["serving_model_dir"] == "gs://bucket/a/Trainer/model/9/Format-Serving"
    assert moved.fn_args["base_model"] is None
    assert moved.fn_args["train_steps"] == 7
    assert moved.backup == "gs://bucket/b/backup"


def test_a_training_finds_its_folder_again_where_its_inputs_are_the_same():
    def folder(**changes: object) -> str:
        return make_job(
            "f", {**FN_ARGS, **changes}, "FORMAT_TF_EXAMPLE", pathlib.Path("/b")
        ).scratch

    assert folder(serving_model_dir="/a/Trainer/model/10/Format-Serving") == folder()
    assert folder(train_files=["/a/examples/11/Split-train/*"]) != folder()
    assert folder(custom_config={"config": {"training": {"epochs": 4}}}) != folder()


def test_other_payloads_are_refused():
    with pytest.raises(ValueError, match="payload is FORMAT_PROTO: workers read FORMAT_TF_EXAMPLE"):
        data_accessor("FORMAT_PROTO")


def test_what_a_worker_logs_stands_in_the_launchers_log_as_if_it_were_its_own(caplog):
    try:
        raise ValueError("no label")
    except ValueError:
        there = logging.LogRecord("trainer", 40, "/p/trainer/run.py", 1, "%d", (3,), sys.exc_info())
    with caplog.at_level(logging.INFO):
        lines.relay(lines.LineFormatter().format(there), 2)
    (here,) = caplog.records
    assert here.pathname == "/p/trainer/run.py"
    told = json.loads(JsonFormatter("run").format(here))
    assert (told["worker"], told["level"], told["message"]) == ("worker-2", "ERROR", "3")
    assert told["error"].endswith("ValueError: no label")


@pytest.mark.parametrize("line", ["a library's", "3", "{}", '{"name": "trainer"', "null"])
def test_what_is_no_record_goes_to_stderr(line, caplog, capsys):
    assert lines.relay(line, 1) == {"msg": line}
    assert capsys.readouterr().err == f"[worker 1] {line}\n"
    assert not caplog.records


def test_settings_go_to_the_component_as_text():
    told = Launch(workers=LoopbackWorkers(count=4, hang_timeout="90s"), directory="var/training")
    assert Launch.model_validate_json(told.model_dump_json()) == told

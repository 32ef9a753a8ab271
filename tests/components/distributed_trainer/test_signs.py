import json
import logging
import pathlib
import threading
import time

import pytest

from components.distributed_trainer.launch import lines, staging
from components.distributed_trainer.launch.job import Job
from components.distributed_trainer.launch.signs import FailureFile, Sign, Signs, pause
from components.distributed_trainer.launch.staging import Stage


def test_a_sign_tells_by_its_content_alone(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    given, seen = Sign(tmp_path / "sign"), Sign(tmp_path / "sign")
    clock[0] = 5.0
    assert (seen.silence(), seen.is_given) == (5.0, False)
    given.give(1)
    assert (seen.silence(), seen.is_given) == (0.0, True)
    clock[0] = 8.0
    given.give(1)  # Written anew, but the same: a file's time is not looked at.
    assert seen.silence() == 3.0
    (tmp_path / "sign").unlink()  # A volume that is away.
    assert (seen.silence(), seen.is_given) == (3.0, True)
    given.give(2)
    assert seen.silence() == 0.0


def test_last_words_are_kept_beside_the_sign(tmp_path):
    signs = Signs(tmp_path)
    record = logging.LogRecord("t", logging.ERROR, "/t.py", 1, "failed", (), None, created=7.0)
    FailureFile(signs, 1).emit(record)
    assert signs.failures(2) == {}
    setattr(record, lines.FAILURE, "ValueError: no label")
    FailureFile(signs, 1).emit(record)
    ((index, told),) = signs.failures(2).items()
    assert (index, told[lines.FAILURE]) == (1, "ValueError: no label")


def test_the_launcher_gives_its_sign_while_it_lives(tmp_path):
    signs = Signs(tmp_path)
    with signs.living(0.01):
        for _ in range(2):  # It changes, and changes again.
            seen = Sign(tmp_path / "launcher")
            seen.silence()
            first = (tmp_path / "launcher").read_text() if seen.is_given else ""
            while not seen.is_given or (tmp_path / "launcher").read_text() == first:
                seen.silence()
                time.sleep(0.005)
    assert "launcher's sign" not in {thread.name for thread in threading.enumerate()}
    assert (pause(300.0), pause(10.0)) == (10.0, 1.0)


@pytest.fixture
def job(tmp_path):
    own = tmp_path / "own"
    for path in ("examples/Split-train/data-0", "graph/saved/model", "schema/schema.pbtxt"):
        (own / path).parent.mkdir(parents=True)
        (own / path).write_text(path)
    fn_args = {
        "train_files": [f"{own}/examples/Split-train/*"],
        "transform_graph_path": f"{own}/graph",
        "transform_output": f"{own}/graph",
        "schema_path": f"{own}/schema/schema.pbtxt",
        "base_model": "gs://plant/model",
        "serving_model_dir": f"{own}/made/model",
        "model_run_dir": f"{own}/made/run",
    }
    return Job("f", fn_args, "FORMAT_TF_EXAMPLE", f"{tmp_path}/shared/0123456789abcdef")


def test_inputs_lie_where_all_see_them_and_outputs_come_back(job, tmp_path):
    stage = Stage(job, [str(tmp_path / "shared")])
    told = Job.from_json(stage.file.read_text()).fn_args
    pattern = pathlib.Path(told["train_files"][0])
    assert [path.read_text() for path in pattern.parent.glob(pattern.name)] == [
        "examples/Split-train/data-0"
    ]
    assert (pathlib.Path(told["transform_graph_path"]) / "saved/model").exists()
    assert told["transform_output"] == told["transform_graph_path"]
    assert pathlib.Path(told["schema_path"]).read_text() == "schema/schema.pbtxt"
    assert told["base_model"] == "gs://plant/model"
    for name in ("serving_model_dir", "model_run_dir"):
        assert told[name].startswith(f"{tmp_path}/shared/")
        pathlib.Path(told[name]).mkdir(parents=True)
        pathlib.Path(told[name], "made").write_text(name)
    stage.bring_back()
    assert (tmp_path / "own/made/model/made").read_text() == "serving_model_dir"
    assert (tmp_path / "own/made/run/made").read_text() == "model_run_dir"


def test_a_model_that_is_seen_late_is_waited_for(job, tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "SEEN_AFTER", 60.0)
    stage = Stage(job, [])
    model = pathlib.Path(stage.job.fn_args["serving_model_dir"])
    monkeypatch.setattr("time.sleep", lambda _: model.mkdir(parents=True))
    stage.bring_back()
    assert (tmp_path / "own/made/model").is_dir()


def test_a_restarted_run_copies_no_input_again_and_finds_no_half_made_output(job, tmp_path):
    stage = Stage(job, [])
    half = pathlib.Path(stage.job.fn_args["serving_model_dir"])
    half.mkdir(parents=True)
    (tmp_path / "own/examples/Split-train/data-0").write_text("changed")
    again = Stage(job, [])
    pattern = pathlib.Path(again.job.fn_args["train_files"][0])
    assert (pattern.parent / "data-0").read_text() == "examples/Split-train/data-0"
    assert not half.exists()


def test_what_all_see_anyhow_is_not_copied(job, tmp_path):
    stage = Stage(job, [str(tmp_path)])
    assert stage.job.fn_args == job.fn_args
    assert json.loads(stage.file.read_text())["scratch"] == job.scratch

"""The real Kubernetes client against a stand-in API server that enforces schema and role."""

import functools
import json
import logging
import os
import re
import signal
import subprocess
import sys

import pytest

from components.distributed_trainer.launch.job import TrainingFailed
from components.distributed_trainer.launch.lines import LineFormatter
from tests.components.distributed_trainer.conftest import HERE, PACE
from tests.components.distributed_trainer.kubernetes_api import ROOT
from tests.components.distributed_trainer.training_operator import Operator
from tests.kfp_server.faults import Fault

NAME = "training-0123456789abcdef"
CHIEF, WORKER = f"{NAME}-chief-0", f"{NAME}-worker-0"


def told(message: str, level: int = logging.INFO) -> str:
    """A worker's line."""
    return LineFormatter().format(
        logging.LogRecord("trainer", level, "/t.py", 1, message, (), None)
    )


def trains(operator: Operator, name: str) -> None:
    operator.start(name)
    operator.log(CHIEF, told("epoch 1"))
    operator.log(WORKER, "printed by a library")
    operator.finish(WORKER, 0)
    operator.finish(CHIEF, 0)


def starts(operator: Operator, name: str) -> None:
    operator.start(name)


def failing(*steps):
    """A play in which all start and, once the launcher has seen that, the steps happen."""

    def play(operator: Operator, name: str) -> None:
        before = len(operator.seen)
        operator.start(name)
        operator.once(
            lambda: any(one.endswith(f"{WORKER}/log") for one in operator.seen[before:]),
            *(functools.partial(step, operator) for step in steps),
        )

    return play


def failure(launcher, job) -> str:
    with pytest.raises(TrainingFailed) as caught:
        launcher.run(job)
    return str(caught.value)


def is_clean(api) -> bool:
    return not api.operator.jobs.items and not api.operator.pods.items


def test_a_job_is_created_followed_and_deleted(api, launched, make_job, caplog, capfd):
    caplog.set_level(logging.INFO)
    api.operator.plays = [trains]
    launched().run(make_job())
    (record,) = [r for r in caplog.records if r.getMessage() == "epoch 1"]
    assert record.worker == 0
    assert "[worker 1] printed by a library" in capfd.readouterr().err
    (manifest,) = api.manifests
    labels = manifest["spec"]["tfReplicaSpecs"]["Worker"]["template"]["metadata"]["labels"]
    assert labels["pipeline-run"] == "run-7-a"
    assert labels["training-job"] == "0123456789abcdef"
    assert is_clean(api)


def test_pods_train_a_model_that_comes_back(api, launched, make_job, tmp_path, caplog, capfd):
    """Processes with what pods are given: the job's file, the volume, the operator's TF_CONFIG."""
    caplog.set_level(logging.INFO)
    api.operator.plays = [Operator.run]
    launched(count=3).run(make_job("told_by_the_operator"))
    backup = tmp_path / "shared/0123456789abcdef/backup"
    assert {path.name for path in backup.iterdir()} == {"chief 0", "worker 0", "worker 1"}
    # Workers that are still ending when the chief has ended are cut short, as by the operator.
    told = {(r.worker, r.getMessage()) for r in caplog.records if hasattr(r, "worker")}
    assert (0, "chief 0, train 01") in told
    assert (tmp_path / "own/model/serving/saved").read_text() == "chief 0"
    assert (tmp_path / "own/run/events").exists()
    assert is_clean(api)
    # The examples stay staged for a run that resumes; signs of life go with their attempt.
    left = {path.name for path in (tmp_path / "shared/0123456789abcdef").iterdir()}
    assert left == {"inputs", "outputs", "job.json", "backup"}


def test_what_a_worker_raises_ends_the_training_in_its_own_words(api, launched, make_job):
    api.operator.plays = [Operator.run]
    assert failure(launched(restarts=2), make_job("raises_there")) == (
        f"worker 1 of 2 ({WORKER}) failed: ValueError: label 'fails' is missing in 3 of 40 examples"
    )
    assert len(api.manifests) == 1
    assert is_clean(api)


def test_a_killed_worker_starts_the_whole_job_again(api, launched, make_job, tmp_path, caplog):
    api.operator.plays = [Operator.run, Operator.run]
    launched(restarts=1).run(make_job("killed_there"))
    (again,) = [r.getMessage() for r in caplog.records if "start again" in r.getMessage()]
    assert again.startswith(f"worker 1 of 2 ({WORKER}) was killed by SIGKILL")
    first, second = api.manifests
    attempts = {m["metadata"]["labels"]["training-attempt"] for m in (first, second)}
    assert len(attempts) == 2
    assert (tmp_path / "own/model/serving/saved").read_text() == "chief 0"


def test_a_worker_that_hangs_tells_where(api, launched, make_job, capfd, caplog):
    api.operator.plays = [Operator.run]
    text = failure(launched(hang_timeout="1s", orphan_timeout="30s"), make_job("hangs_there"))
    assert re.match(
        r"worker \d of 2 hangs: no batch ended for \d+ s \(training.workers.hang_timeout\)", text
    )
    assert "in wait_there" in capfd.readouterr().err
    assert is_clean(api)


@pytest.mark.parametrize(
    ("steps", "words", "passing"),
    [
        (
            [lambda o: o.finish(WORKER, 137, "OOMKilled")],
            r"took more memory than it may \(its limit is 4Gi\): raise training.workers.pod.memory",
            False,
        ),
        (
            [
                lambda o: o.status(WORKER, reason="Evicted", message="disk"),
                lambda o: o.finish(WORKER, 137),
            ],
            r"was evicted from its machine: disk",
            True,
        ),
        ([lambda o: o.finish(WORKER, 139)], r"was killed by SIGSEGV", True),
        ([lambda o: o.finish(WORKER, 138)], r"failed: a peer is gone", True),
        (
            [lambda o: o.log(WORKER, "no such module"), lambda o: o.finish(WORKER, 2)],
            r"ended with code 2; its last lines:\n  no such module$",
            False,
        ),
        ([lambda o: o.remove(WORKER)], r"pod was deleted: its machine may have been drained", True),
        (
            [lambda o: o.finish(WORKER, 128, "StartError")],
            r"cannot be started",
            False,
        ),
        (
            [
                lambda o: o.finish(
                    WORKER,
                    143,
                    conditions=[
                        {"type": "DisruptionTarget", "status": "True", "message": "preempted"}
                    ],
                )
            ],
            r"was taken off its machine: preempted",
            True,
        ),
    ],
    ids=["memory", "evicted", "signal", "peer", "code", "deleted", "start", "preempted"],
)
def test_what_became_of_a_pod_is_told(api, launched, make_job, steps, words, passing):
    api.operator.plays = [failing(*steps)] * 2
    pod = {"image": "i", "memory": "4Gi"}
    text = failure(launched(pod=pod, restarts=1), make_job())
    assert re.match(
        rf"worker 1 of 2 \({WORKER}\)('s)? {words}",
        text.removesuffix("\nGiven up after 1 restarts"),
    ), text
    assert text.endswith("Given up after 1 restarts") == passing
    assert len(api.manifests) == 1 + passing
    assert is_clean(api)


def test_the_killed_worker_is_told_and_not_its_victim(api, launched, make_job):
    def play(operator: Operator, name: str) -> None:
        operator.start(name)
        item = operator.pods.items
        operator.status(CHIEF, **_ended(138))
        operator.status(WORKER, **_ended(137))
        operator.reconcile(WORKER)
        assert CHIEF in item

    api.operator.plays = [play]
    assert failure(launched(), make_job()).startswith(
        f"worker 1 of 2 ({WORKER}) was killed by SIGKILL"
    )


def _ended(code: int) -> dict:
    state = {
        "terminated": {"exitCode": code, "reason": "Error", "finishedAt": "2025-01-01T00:00:00Z"}
    }
    return {"phase": "Failed", "containerStatuses": [{"name": "tensorflow", "state": state}]}


def test_an_image_that_cannot_be_pulled_is_told(api, launched, make_job):
    api.operator.plays = [
        lambda o, n: o.wait(WORKER, "ImagePullBackOff", "Back-off pulling image: not found")
    ]
    text = failure(launched(), make_job())
    assert text.startswith(f"worker 1 of 2 ({WORKER}) does not start: the image registry.example/")
    assert "cannot be pulled: Back-off pulling image: not found" in text
    assert is_clean(api)


def test_an_image_that_is_pulled_at_last_is_no_failure(api, launched, make_job):
    def play(operator: Operator, name: str) -> None:
        operator.wait(WORKER, "ErrImagePull", "the registry is busy")
        operator.clock.tick()
        trains(operator, name)

    api.operator.plays = [play]
    launched().run(make_job())


def test_a_secret_that_is_missing_is_told(api, launched, make_job):
    api.operator.plays = [
        lambda o, n: o.wait(CHIEF, "CreateContainerConfigError", 'secret "plant-db" not found')
    ]
    assert 'secret "plant-db" not found' in failure(launched(), make_job())


def test_pods_that_no_machine_can_take_are_told(api, launched, make_job):
    def play(operator: Operator, name: str) -> None:
        message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
        condition = {"type": "PodScheduled", "status": "False", "message": message}
        operator.status(CHIEF, conditions=[condition | {"reason": "Unschedulable"}])

    api.operator.plays = [play]
    assert failure(launched(pending_timeout="300ms"), make_job()) == (
        f"worker 0 of 2 ({CHIEF}) does not start: no machine can take it: 0/3 nodes are "
        "available: 3 Insufficient nvidia.com/gpu. (training.workers.pending_timeout)"
    )
    assert is_clean(api)


def test_an_operator_that_does_nothing_is_told(api, launched, make_job, monkeypatch):
    monkeypatch.setattr(api.operator, "make_pod", lambda *_: None)
    assert "is the training operator running" in failure(
        launched(pending_timeout="300ms"), make_job()
    )


def test_a_job_that_takes_too_long_is_told(api, launched, make_job):
    words = "TFJob was active longer than specified deadline"
    api.operator.plays = [failing(lambda o: o.end_job(NAME, "Failed", words))]
    assert failure(launched(), make_job()) == (
        f"TFJob {NAME} failed: TFJob was active longer than specified deadline"
    )


def test_a_job_that_someone_deletes_is_not_begun_again(api, launched, make_job):
    api.operator.plays = [failing(lambda o: o.delete(NAME))]
    assert failure(launched(restarts=3), make_job()) == f"TFJob {NAME} was deleted while it ran"


def test_a_job_left_behind_is_deleted_first(api, launched, make_job, connected, caplog):
    api.operator.plays = [starts, trains]
    left = launched()
    with pytest.MonkeyPatch.context() as patch:
        # As if the launcher were killed: nothing is undone.
        patch.setattr(type(left), "_end", lambda *_: None)
        patch.setattr("components.distributed_trainer.launch.tfjob.attempt.Attempt.wait", _killed)
        with pytest.raises(KeyboardInterrupt):
            left.run(make_job())
    assert NAME in api.operator.jobs.items
    launched().run(make_job())
    assert f"TFJob {NAME} was left behind by an earlier launcher" in caplog.text
    assert is_clean(api)


def _killed(self):
    raise KeyboardInterrupt


@pytest.mark.parametrize("fate", ["drop", "gone", "stall"])
def test_a_watch_that_breaks_is_taken_up(api, launched, make_job, fate):
    def play(operator: Operator, name: str) -> None:
        operator.start(name)

        def is_so() -> bool:
            # Something to see for each watch.
            operator.status(CHIEF, message=str(operator.clock.version))
            return not api.watches

        operator.once(is_so, lambda: operator.finish(CHIEF, 0))

    api.watches = [fate] * 4
    api.operator.plays = [play]
    pace = PACE.__class__(**{**vars(PACE), "window": 0.4})
    launched(pace).run(make_job())
    assert not api.watches
    assert is_clean(api)


def test_answers_that_are_lost_make_no_second_job(api, launched, make_job):
    api.faults += [
        Fault("POST", "tfjobs", "reset", after=True),
        Fault("GET", "pods", 503, times=3),
        Fault("GET", "log", "reset"),
        Fault("DELETE", "tfjobs", 500, times=1),
    ]
    api.operator.plays = [trains]
    launched().run(make_job())
    assert len(api.manifests) == 1
    assert is_clean(api)


def test_a_role_that_is_missing_is_told(api, launched, make_job):
    api.forbidden = {("kubeflow.org", "tfjobs", "create")}
    text = failure(launched(), make_job())
    assert text.startswith("cannot create a TFJob in namespace plant: 403 tfjobs is forbidden")
    assert text.endswith(
        "the account that Trainer runs as needs the role of infra/training/rbac.yaml"
    )
    api.forbidden = {("", "pods", "watch")}
    assert failure(launched(), make_job()).startswith("cannot watch pods in namespace plant: 403")
    assert is_clean(api)


def test_the_role_allows_what_is_asked_and_no_more(api, launched, make_job):
    api.operator.plays = [trains]
    launched().run(make_job())
    assert api.used == api._allowed


def test_a_server_that_does_not_let_the_job_be_deleted_is_told(api, launched, make_job, caplog):
    api.operator.plays = [trains]
    launcher = launched()
    api.faults += [Fault("DELETE", "tfjobs", 404), Fault("DELETE", "tfjobs", 403, times=9)]
    launcher.run(make_job())
    assert f"TFJob {NAME} is left behind. Its workers end by themselves in 300 s" in caplog.text


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_launcher_that_is_stopped_leaves_no_job(api, launched, make_job, end):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        api.operator.plays = [failing(lambda o: os.kill(os.getpid(), end))]
        with pytest.raises(KeyboardInterrupt if end == signal.SIGINT else SystemExit):
            launched().run(make_job())
    finally:
        signal.signal(signal.SIGTERM, before)
    # The signal reaches whom it was for, once all is undone.
    assert heard == [end] * (end == signal.SIGTERM)
    assert is_clean(api)


def test_workers_end_when_their_launcher_was_killed(tmp_path, make_job):
    """The last resort: nobody deletes the job, and its workers notice."""
    job, signs = tmp_path / "job.json", tmp_path / "signs"
    job.write_text(make_job("hangs_there").to_json())
    signs.mkdir()
    (signs / "launcher").write_text("1")
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", "components.distributed_trainer.worker", "--job", str(job)),
            *("--signs", str(signs), "--orphan-after", "1"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = worker.communicate(timeout=60)
    assert worker.returncode == 138, out
    assert "No sign of the launcher" in json.loads(out.splitlines()[-1])["msg"]


def test_a_shared_folder_that_is_not_there_is_told(launched, make_job, tmp_path):
    (tmp_path / "shared").write_text("a file")
    text = failure(launched(), make_job())
    assert text.startswith(f"training.workers.shared is '{tmp_path}/shared', which cannot be used")

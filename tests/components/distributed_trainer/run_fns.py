"""What workers of the tests run instead of a training: plain Python, by name of the fault."""

import contextlib
import json
import logging
import os
import pathlib
import signal
import sys
import time


def trained(fn_args):
    """Every worker tells who it is; the chief's folder is the model's."""
    config = json.loads(os.environ["TF_CONFIG"])
    logging.info("worker %d of %d", config["task"]["index"], len(config["cluster"]["worker"]))
    print("printed by a library")
    model = pathlib.Path(fn_args.serving_model_dir)
    model.mkdir(parents=True)
    (model / "environment.json").write_text(json.dumps(dict(os.environ)))


def killed(fn_args):
    if _attempt(fn_args) == 1 and _index() == 1:
        # Else the other one, started again, would take its second start for its first.
        while not list(pathlib.Path(os.environ["TRAINING_BACKUP_DIR"]).glob("starts-0-*")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    _wait_if(_attempt(fn_args) == 1)


def always_killed(fn_args):
    if _index() == 1:
        logging.info("reading %s", fn_args.train_files)
        os.kill(os.getpid(), signal.SIGKILL)
    _wait_if(True)


def peer_gone(fn_args):
    """As TensorFlow does, the survivor raises when its peer is killed."""
    if _index() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    raise UnavailableError("connection reset by peer")


def cut_off(fn_args):
    if _attempt(fn_args) == 1:
        raise UnavailableError("a peer does not answer")


def raises(fn_args):
    if _index() == 1:
        raise ValueError("label 'fails' is missing in 3 of 40 examples")
    _wait_if(True)


def exits(fn_args):
    print("a library's last words", flush=True)
    os._exit(3)


def hangs(fn_args):
    if _attempt(fn_args) == 1:
        pathlib.Path(os.environ["TRAINING_HEARTBEAT_FILE"]).touch()
        _wait_if(True)


def port_taken(fn_args):
    if _attempt(fn_args) < 3:
        raise UnknownError("Could not start gRPC server")


def waits(fn_args):
    """Tells its process and waits to be ended."""
    staged = pathlib.Path(os.environ["TRAINING_BACKUP_DIR"], f".{_index()}")
    staged.parent.mkdir(exist_ok=True)
    staged.write_text(str(os.getpid()))
    staged.rename(staged.with_name(f"pid-{_index()}"))
    _wait_if(True)


class UnavailableError(Exception):
    """Named as TensorFlow's."""


class UnknownError(Exception):
    """Named as TensorFlow's."""


def _index():
    return json.loads(os.environ["TF_CONFIG"])["task"]["index"]


def _attempt(fn_args):
    """Which attempt this is, from 1; each worker counts its own starts once."""
    starts = pathlib.Path(os.environ["TRAINING_BACKUP_DIR"], f"starts-{_index()}-{os.getpid()}")
    starts.parent.mkdir(parents=True, exist_ok=True)
    starts.touch()
    return len(list(starts.parent.glob(f"starts-{_index()}-*")))


def _wait_if(waiting):
    while waiting:
        time.sleep(60)


def told_by_the_operator(fn_args):
    """A training of Chief and Worker replicas, as TFJob and Vertex AI name them.

    As in a training none is done before all are; the chief's end is the job's.
    """
    config = json.loads(os.environ["TF_CONFIG"])
    who = "{type} {index}".format(**config["task"])
    (pattern,) = fn_args.train_files
    files = sorted(pathlib.Path(pattern).parent.glob("data-*"))
    logging.info("%s, train %s", who, "".join(file.read_text() for file in files))
    backup = pathlib.Path(os.environ["TRAINING_BACKUP_DIR"])
    backup.mkdir(exist_ok=True)
    (backup / who).touch()
    while len(list(backup.iterdir())) < sum(map(len, config["cluster"].values())):
        time.sleep(0.01)
    model, run = pathlib.Path(fn_args.serving_model_dir), pathlib.Path(fn_args.model_run_dir)
    model.mkdir(parents=True)
    run.mkdir(parents=True)
    (model / "saved").write_text(who)
    (run / "events").touch()


def raises_there(fn_args):
    if _task() == ("worker", 0):
        raise ValueError("label 'fails' is missing in 3 of 40 examples")
    _wait_if(True)


def killed_there(fn_args):
    """In the first attempt a worker is killed, and the chief waits for it."""
    attempt = sys.argv[sys.argv.index("--signs") + 1]
    first = pathlib.Path(attempt).parent / "first"
    mine = first.with_name(f"first-{os.getpid()}")
    mine.write_text(attempt)
    with contextlib.suppress(FileExistsError):
        first.hardlink_to(mine)
    if first.read_text() == attempt:
        if _task() == ("worker", 0):
            os.kill(os.getpid(), signal.SIGKILL)
        _wait_if(True)
    told_by_the_operator(fn_args)


def hangs_there(fn_args):
    pathlib.Path(os.environ["TRAINING_HEARTBEAT_FILE"]).touch()
    wait_there()


def wait_there():
    _wait_if(True)


def _task():
    task = json.loads(os.environ["TF_CONFIG"])["task"]
    return task["type"], task["index"]

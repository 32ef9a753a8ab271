"""What every worker executes, be it a process on this machine, a pod or a replica.

``python -m components.distributed_trainer.worker --job FILE`` calls the job's ``run_fn``. Which
of the workers it is, ``TF_CONFIG`` says, which the launcher sets, or the cluster's operator. TFX is
not imported: it takes longer than a small training.

It logs to stdout, one JSON object a line (see ``launch/lines.py``); what libraries print goes to
stderr, and on SIGUSR1 the stacks of all threads. It ends with 0, with 1 after an error that would
come again, and with 138 after one that may not, such as a peer's end.
"""

import argparse
import contextlib
import faulthandler
import importlib
import json
import logging
import os
import pathlib
import signal
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from typing import Any

from components.distributed_trainer.launch import lines
from components.distributed_trainer.launch.beacon import Beacon
from components.distributed_trainer.launch.job import OUTPUTS, Job
from components.distributed_trainer.launch.lifeline import end_with_launcher
from components.distributed_trainer.launch.signs import Signs

BACKUP_DIRECTORY = "TRAINING_BACKUP_DIR"
"""Names the folder that the trainer backs its state up to, and resumes from."""
HEARTBEAT_FILE = "TRAINING_HEARTBEAT_FILE"
"""Names a file that the trainer touches after each batch; the launcher may look at its time."""
TRANSIENT = 138
"""The exit code with which a TFJob's pod tells its operator that another try may do better."""
TRANSIENT_ERRORS = ("AbortedError", "CancelledError", "DeadlineExceededError", "UnavailableError")


def index_of(tf_config: str) -> int:
    """Which of the workers one is; the first, the chief, writes the model.

    Args:
      tf_config: what ``TF_CONFIG`` holds; empty for a worker on its own.
    """
    config: dict[str, Any] = json.loads(tf_config or "{}")
    task = config.get("task", {})
    if task.get("type", "chief") == "chief":
        return 0
    return len(config["cluster"].get("chief", ())) + int(task["index"])


@contextlib.contextmanager
def fn_args(job: Job, chief: bool) -> Iterator[types.SimpleNamespace]:
    """What ``run_fn`` is called with: the fields of ``tfx.components.FnArgs``.

    All workers save, since variables are gathered while they do; only the chief's is kept.
    """
    from components.distributed_trainer.accessor import data_accessor

    with tempfile.TemporaryDirectory(prefix="worker-") as folder:
        aside = {} if chief else {name: f"{folder}/{name}" for name in OUTPUTS}
        yield types.SimpleNamespace(
            **job.fn_args | aside, data_accessor=data_accessor(job.payload_format)
        )


def run(job: Job) -> int:
    """Runs a worker to its end.

    Returns:
      The exit code.
    """
    os.environ.setdefault(BACKUP_DIRECTORY, job.backup)
    try:
        module, _, name = job.run_fn.rpartition(".")
        run_fn = getattr(importlib.import_module(module), name)
        with fn_args(job, chief=index_of(os.environ.get("TF_CONFIG", "")) == 0) as arguments:
            run_fn(arguments)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        logging.exception("This worker failed.", extra={lines.FAILURE: words})
        return TRANSIENT if type(error).__name__ in TRANSIENT_ERRORS else 1
    return 0


def main(argv: Sequence[str]) -> int:
    """Reads the command line and runs the worker."""
    parser = argparse.ArgumentParser(prog="components.distributed_trainer.worker")
    parser.add_argument("--job", required=True, help="the job's file, as this machine sees it")
    parser.add_argument("--end-with-launcher", action="store_true", help="watch stdin for its end")
    parser.add_argument(
        "--signs", help="the attempt's folder, where launcher and workers are apart"
    )
    parser.add_argument("--orphan-after", type=float, default=300.0, metavar="SECONDS")
    options = parser.parse_args(argv)
    if options.end_with_launcher:
        end_with_launcher()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    lines.log_lines(sys.stdout)
    if options.signs:
        heartbeat = pathlib.Path(tempfile.mkdtemp(prefix="heartbeat-"), "touched")
        os.environ[HEARTBEAT_FILE] = str(heartbeat)
        index = index_of(os.environ.get("TF_CONFIG", ""))
        signs = Signs(pathlib.Path(options.signs))
        Beacon(signs, index, heartbeat, options.orphan_after, TRANSIENT).start()
    with contextlib.redirect_stdout(sys.stderr):
        return run(Job.from_json(pathlib.Path(options.job).read_text(encoding="utf-8")))


if __name__ == "__main__":
    # os._exit: TensorFlow's threads can hold up an ordinary exit for seconds.
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)

"""The command of every task on Kubeflow Pipelines and Vertex AI.

``python -m pipeline.kubeflow.entrypoint`` takes the arguments that TFX's KubeflowV2DagRunner
compiles for its own ``kubeflow_v2_run_executor``, and runs TFX's executors where that one cannot:
under the launcher of open-source Kubeflow Pipelines 2. What it mends stands where it is mended:
``container/storage.py`` (URIs), ``container/invocation.py`` (types, the launcher's own outputs) and
``container/artifacts.py`` (folders, metadata). It imports less, too: TFX's own imports all
components and the KFP SDK for any task.

Logs go to stdout, one JSON object a line; what libraries print goes to stderr.
"""

import argparse
import contextlib
import logging
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from pipeline.kubeflow.container import invocation, storage
from pipeline.local import logs, lost_worker
from pipeline.local.errors import message
from pipeline.local.run_spans import task_span
from pipeline.metrics import task as metrics


def main(argv: Sequence[str]) -> int:
    """Runs a task.

    Args:
      argv: the task's arguments; those that are not its own are Beam's.

    Returns:
      0, or 1 if the task failed.
    """
    parser = argparse.ArgumentParser(prog="pipeline.kubeflow.entrypoint", allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    known, beam_args = parser.parse_known_args(argv)
    signal.signal(signal.SIGTERM, _stop)
    lost_worker.watch_workers(_lost)
    formatter = logs.log_to_stdout()
    places = storage.storage_for(beam_args)
    try:
        asked = invocation.read(
            known.json_serialized_invocation_args, known.json_serialized_inputs_spec_args, places
        )
        formatter.run_id, formatter.node = asked.run_id, asked.node
        span = task_span(asked.run_id, asked.node)
        with contextlib.redirect_stdout(sys.stderr), _told(asked), span:
            # TFX is imported here and not above: it takes ten seconds and more, and what is wrong
            # with the arguments is told at once.
            from pipeline.kubeflow.container import task

            task.run(known.executor_class_path, asked, places, beam_args)
    except Exception as error:
        logging.exception("%s", message(error))
        return 1
    logging.info("done")
    return 0


@contextlib.contextmanager
def _told(asked: invocation.Invocation) -> Iterator[None]:
    """Tells the Pushgateway, if there is one, of the task that runs in the block."""
    began, ok = time.monotonic(), False
    try:
        yield
        ok = True
    finally:
        outputs = {key: pathlib.Path(made.path) for key, made in asked.outputs.items()}
        try:
            for problem in metrics.push(asked.node, outputs, time.monotonic() - began, ok):
                logging.warning("%s", problem)
        except Exception:
            logging.exception("metrics not told")


def _lost(error: lost_worker.WorkerLostError) -> None:
    """Ends the task; its container takes the other workers with it."""
    logging.error("%s", error)
    logging.shutdown()
    os._exit(1)


def _stop(signum: int, frame: object) -> None:
    """Ends as an error would: what is under way is undone, servers and folders are cleared away."""
    logging.error("stopped by %s", signal.Signals(signum).name)
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

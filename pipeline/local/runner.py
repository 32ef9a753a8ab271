"""LocalDagRunner with a process for each stage: what does not wait for each other runs at once."""

import fcntl
import functools
import io
import logging
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Collection
from typing import Any, Protocol

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import launcher, partial_run_utils, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components.serving_gate import quiet
from pipeline import history
from pipeline.local.errors import message
from pipeline.local.events import State
from pipeline.local.fork import Fork, Link
from pipeline.local.schedule import Running, Schedule
from pipeline.local.stage import Stage, StageError, Task


class Observer(Protocol):
    """Who is told of a run's stages."""

    def observe(self, stage: Stage) -> None:
        """Takes in that a stage began or ended."""

    def progress(self, node: str, text: str) -> None:
        """Takes in a running stage's newest line."""

    def enter(self, node: str, tell: Callable[[str], None]) -> None:
        """Prepares the process that a stage runs in; called there, with what tells progress."""

    def sum_up(self, outputs: list[history.Output]) -> str:
        """A line for what a stage made; called in its process."""
        ...


class LockedMetadata(metadata.Metadata):
    """ML Metadata that one process at a time uses: SQLite refuses a second writer after a while."""

    def __init__(self, connection: metadata_store_pb2.ConnectionConfig) -> None:
        super().__init__(connection)
        self._lock: io.TextIOWrapper | None = None

    def __enter__(self) -> metadata.Metadata:
        if not self._users:
            self._lock = open(f"{self.connection_config.sqlite.filename_uri}.lock", "w")  # noqa: PTH123
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if not self._users and self._lock is not None:
            self._lock.close()


class PatientLauncher(launcher.Launcher):
    """Publishes what a stage made only when it is allowed to."""

    def __init__(self, link: Link | None, **what: Any) -> None:
        super().__init__(**what)
        self._link = link

    def _publish_successful_execution(self, *what: Any, **more: Any) -> None:
        if self._link is not None:
            self._link.wait_until_allowed()
        super()._publish_successful_execution(*what, **more)


class ObservedDagRunner(local_dag_runner.LocalDagRunner):
    """Runs a pipeline's stages and reports each.

    LocalDagRunner itself runs one stage after another in one process, gives its run no id of ours
    and tells no word about a stage but log lines, so its loop over the compiled pipeline stands
    here again with the same launcher.
    """

    def __init__(
        self, run_id: str, observer: Observer, at_once: int, ahead: Collection[str] = ()
    ) -> None:
        """Makes a runner.

        Args:
          run_id: the pipeline run's id in ML Metadata.
          observer: is told of the stages.
          at_once: how many stages may run at once.
          ahead: stages that begin when their inputs are there, before other stages that they wait
            for; what they made is published only after these.
        """
        super().__init__()
        self._run_id = run_id
        self._observer = observer
        # Elsewhere a process that has loaded the system's own libraries cannot be copied.
        self._forks = sys.platform == "linux"
        self._at_once = at_once if self._forks else 1
        self._ahead = ahead

    def run_with_ir(
        self,
        pipeline: pipeline_pb2.Pipeline,
        run_options: pipeline_pb2.RunOptions | None = None,
        **kwargs: Any,
    ) -> None:
        """Runs a compiled pipeline.

        Raises:
          StageError: for the stage that failed first.
        """
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self._run_id}
        )
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        connection = getattr(
            deployment.metadata_connection_config,
            deployment.metadata_connection_config.WhichOneof("connection_config"),
        )
        if run_options:
            partial = run_options.partial_run
            partial_run_utils.mark_pipeline(
                pipeline,
                from_nodes=list(partial.from_nodes) or None,
                to_nodes=list(partial.to_nodes) or None,
                snapshot_settings=partial.snapshot_settings,
            )
        nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in pipeline.nodes}
        skipped = [n for n, node in nodes.items() if node.execution_options.HasField("skip")]
        for name in skipped:
            self._observer.observe(Stage(name, "skipped"))

        def start(name: str) -> Running | Stage:
            def work(link: Link | None) -> Stage:
                return self._run_node(pipeline, nodes[name], deployment, connection, link)

            return Fork(name, work) if self._forks else work(None)

        failed = Schedule(
            [self._task(node) for name, node in nodes.items() if name not in skipped],
            start,
            self._observer.observe,
            self._observer.progress,
            self._at_once,
            skipped,
        ).run()
        if failed is not None:
            raise StageError(failed)

    def _task(self, node: pipeline_pb2.PipelineNode) -> Task:
        name = node.node_info.id
        after = frozenset(node.upstream_nodes)
        inputs = after
        if name in self._ahead:
            inputs = frozenset(
                channel.producer_node_query.id
                for given in node.inputs.inputs.values()
                for channel in given.channels
            )
        return Task(name, inputs, after)

    def _run_node(
        self,
        pipeline: pipeline_pb2.Pipeline,
        node: pipeline_pb2.PipelineNode,
        deployment: Any,
        connection: metadata_store_pb2.ConnectionConfig,
        link: Link | None,
    ) -> Stage:
        name = node.node_info.id
        began = time.monotonic()
        self._observer.enter(
            name, link.tell if link else functools.partial(self._observer.progress, name)
        )
        logging.info("stage %s: running", name)
        try:
            held = LockedMetadata(connection)
            working = open(f"{connection.sqlite.filename_uri}.working", "w")  # noqa: PTH123, SIM115
            fcntl.flock(working, fcntl.LOCK_SH)
            os.environ[quiet.LOCK] = str(working.fileno())
            if node.execution_options.run.perform_snapshot:
                with held as handle:
                    partial_run_utils.snapshot(handle, pipeline)
            information = PatientLauncher(
                link,
                pipeline_node=node,
                mlmd_connection=held,
                pipeline_info=pipeline.pipeline_info,
                pipeline_runtime_spec=pipeline.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, name),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
            ).launch()
            execution_id = information.execution_id if information else None
            if execution_id is None:
                raise RuntimeError(
                    f"{name} did not run: one of its inputs is missing in this and earlier runs. "
                    "Run without --from."
                )
            with held as handle:
                state = _state_of(handle, execution_id)
                made = history.outputs(handle.store, execution_id)
            text = self._observer.sum_up(made)
        except Exception as error:
            seconds = time.monotonic() - began
            logging.exception("stage %s: failed %.1f s", name, seconds)
            detail = traceback.format_exc()
            told = message(error, pathlib.Path(connection.sqlite.filename_uri).parent)
            return Stage(name, "failed", seconds, error=told, detail=detail)
        seconds = time.monotonic() - began
        logged = "stage %s: %s %.1f s, %.1f s of a processor; %s"
        logging.info(logged, name, state, seconds, _processor_seconds(), text)
        return Stage(name, state, seconds, tuple(made), text)


def _processor_seconds() -> float:
    """What this process and those that it waited for have used."""
    return sum(os.times()[:4])


def _state_of(handle: metadata.Metadata, execution_id: int) -> State:
    (execution,) = handle.store.get_executions_by_id([execution_id])
    state = execution.last_known_state
    if state == metadata_store_pb2.Execution.CACHED:
        return "cached"
    if state == metadata_store_pb2.Execution.COMPLETE:
        return "done"
    name = metadata_store_pb2.Execution.State.Name(state)
    raise RuntimeError(f"execution {execution_id} ended in state {name}: see the run's log")

"""LocalDagRunner that tells which stage runs, was cached or failed, and for how long."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import launcher, partial_run_utils, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from pipeline.local.events import State


@dataclasses.dataclass(frozen=True)
class Stage:
    """What became of a node; ``execution_id`` is its execution in ML Metadata."""

    node: str
    state: State
    seconds: float = 0.0
    execution_id: int | None = None


class ObservedDagRunner(local_dag_runner.LocalDagRunner):
    """Runs the stages one after another, as LocalDagRunner does, and reports each.

    LocalDagRunner itself gives neither its run an id of ours nor a word about a stage but log
    lines, so its loop over the compiled pipeline stands here again with the same launcher.
    """

    def __init__(self, run_id: str, observe: Callable[[Stage], None]) -> None:
        """Makes a runner.

        Args:
          run_id: the pipeline run's id in ML Metadata.
          observe: called in this thread when a stage starts and when it ends.
        """
        super().__init__()
        self._run_id = run_id
        self._observe = observe

    def run_with_ir(
        self,
        pipeline: pipeline_pb2.Pipeline,
        run_options: pipeline_pb2.RunOptions | None = None,
        **kwargs: Any,
    ) -> None:
        """Runs a compiled pipeline; raises what the failing stage raised."""
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
        for node in pipeline.nodes:
            self._run_node(pipeline, node.pipeline_node, deployment, connection)

    def _run_node(
        self,
        pipeline: pipeline_pb2.Pipeline,
        node: pipeline_pb2.PipelineNode,
        deployment: Any,
        connection: metadata_store_pb2.ConnectionConfig,
    ) -> None:
        name = node.node_info.id
        if node.execution_options.HasField("skip"):
            self._observe(Stage(name, "skipped"))
            return
        self._observe(Stage(name, "running"))
        started = time.monotonic()
        try:
            if node.execution_options.run.perform_snapshot:
                with metadata.Metadata(connection) as handle:
                    partial_run_utils.snapshot(handle, pipeline)
            information = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=metadata.Metadata(connection),
                pipeline_info=pipeline.pipeline_info,
                pipeline_runtime_spec=pipeline.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, name),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
            ).launch()
        except BaseException:
            self._observe(Stage(name, "failed", time.monotonic() - started))
            raise
        execution_id = information.execution_id if information else None
        if execution_id is None:
            raise RuntimeError(
                f"{name} did not run: one of its inputs is missing in this and earlier runs. "
                "Run without --from."
            )
        self._observe(
            Stage(
                name,
                _state_of(connection, execution_id),
                time.monotonic() - started,
                execution_id,
            )
        )


def _state_of(connection: metadata_store_pb2.ConnectionConfig, execution_id: int) -> State:
    with metadata.Metadata(connection) as handle:
        (execution,) = handle.store.get_executions_by_id([execution_id])
    state = execution.last_known_state
    if state == metadata_store_pb2.Execution.CACHED:
        return "cached"
    if state == metadata_store_pb2.Execution.COMPLETE:
        return "done"
    name = metadata_store_pb2.Execution.State.Name(state)
    raise RuntimeError(f"execution {execution_id} ended in state {name}: see the run's log")

"""Builds the pipeline that a plan asks for, runs it, and tells what comes of each stage."""

import logging
import os
import pathlib
from typing import Any

from tfx.orchestration import pipeline as tfx_pipeline

from observability.records import JsonFormatter
from pipeline import fingerprint, history, launch
from pipeline.definition import RunInputs, create_pipeline
from pipeline.local import decision, summaries
from pipeline.local.events import Event, EventWriter
from pipeline.local.runner import ObservedDagRunner, Stage
from pipeline.settings import load_settings

_TOLD = tuple(str(fingerprint.ROOT / folder) for folder in ("trainer", "components/tuner"))


class ProgressHandler(logging.Handler):
    """Hands what the project's own code logs to the live table, as the running stage's text."""

    def __init__(self, events: EventWriter, formatter: JsonFormatter) -> None:
        super().__init__(logging.INFO)
        self._events = events
        self._formatter = formatter

    def emit(self, record: logging.LogRecord) -> None:
        """Sends the message's first line if the project's code logged it, one of many workers."""
        node = self._formatter.node
        if getattr(record, "worker", 0):
            return
        if node and record.pathname.startswith(_TOLD):
            first = record.getMessage().partition("\n")[0]
            self._events.send(Event("progress", node=node, text=first))


def run(plan: dict[str, Any], events: EventWriter, formatter: JsonFormatter) -> None:
    """Runs the pipeline.

    Args:
      plan: what pipeline.local.command wrote: settings, run_id, from_nodes, to_nodes,
        base_run_id, and the fields of RunInputs under ``inputs``.
      events: where progress goes.
      formatter: the log's formatter, told the running stage.

    Raises:
      Exception: whatever the failing stage raised.
    """
    settings = load_settings(pathlib.Path(plan["settings"]))
    os.environ.update(launch.environment(settings))
    inputs = RunInputs(**plan["inputs"])
    logging.getLogger().addHandler(ProgressHandler(events, formatter))
    events.send(Event("phase", text="compiling the pipeline"))
    pipeline = create_pipeline(settings, inputs)
    events.send(
        Event(
            "plan",
            nodes=[component.id for component in pipeline.components],
            edges=[
                [before.id, component.id]
                for component in pipeline.components
                for before in component.upstream_nodes
            ],
        )
    )
    database = pathlib.Path(str(inputs.metadata_path))
    database.parent.mkdir(parents=True, exist_ok=True)
    ended: dict[str, list[history.Output]] = {}

    def observe(stage: Stage) -> None:
        text = ""
        if stage.state == "running":
            formatter.node = stage.node
        if stage.execution_id is not None:
            made = history.outputs(history.open_store(database), stage.execution_id)
            ended[stage.node] = made
            text = summaries.of(made)
        logging.info("stage %s: %s %.1f s %s", stage.node, stage.state, stage.seconds, text)
        events.send(
            Event("stage", node=stage.node, state=stage.state, seconds=stage.seconds, text=text)
        )
        if stage.state != "running" and stage.state != "failed":
            formatter.node = ""

    options = None
    if plan["from_nodes"] or plan["to_nodes"]:
        options = tfx_pipeline.RunOptions(
            from_nodes=plan["from_nodes"] or None,
            to_nodes=plan["to_nodes"] or None,
            base_pipeline_run_id=plan["base_run_id"],
        )
    ObservedDagRunner(plan["run_id"], observe).run(pipeline, run_options=options)
    told = decision.of(ended)
    if told is not None:
        events.send(Event("decision", text=told.text, ok=told.pushed))

"""Builds the pipeline that a plan asks for, runs it, and tells what comes of each stage."""

import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

from tfx.orchestration import pipeline as tfx_pipeline

from observability.records import JsonFormatter
from pipeline import decision, fingerprint, launch
from pipeline.definition import RunInputs, create_pipeline
from pipeline.history import Output
from pipeline.local import summaries
from pipeline.local.events import Event, EventWriter
from pipeline.local.runner import ObservedDagRunner
from pipeline.local.stage import Stage
from pipeline.nodes import AHEAD
from pipeline.settings import load_settings

_TOLD = tuple(str(fingerprint.ROOT / folder) for folder in ("trainer", "components/tuner"))


class ProgressHandler(logging.Handler):
    """Hands what the project's own code logs to the live table, as the running stage's text."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tells the message's first line if the project's code logged it, one of many workers."""
        if not getattr(record, "worker", 0) and record.pathname.startswith(_TOLD):
            self._tell(record.getMessage().partition("\n")[0])


class Observer:
    """Tells a run's stages to who shows them, and remembers what they made.

    Attributes:
      ended: by stage, the artifacts it made.
    """

    def __init__(self, events: EventWriter, formatter: JsonFormatter) -> None:
        self._events = events
        self._formatter = formatter
        self.ended: dict[str, list[Output]] = {}

    def observe(self, stage: Stage) -> None:
        """Takes in that a stage began or ended."""
        self.ended[stage.node] = list(stage.outputs)
        # While others still run, the table tells why this one failed.
        text = stage.text or stage.error.partition("\n")[0]
        self._events.send(
            Event("stage", node=stage.node, state=stage.state, seconds=stage.seconds, text=text)
        )

    def progress(self, node: str, text: str) -> None:
        """Takes in a running stage's newest line."""
        self._events.send(Event("progress", node=node, text=text))

    def enter(self, node: str, tell: Callable[[str], None]) -> None:
        """Prepares the process that a stage runs in."""
        self._formatter.node = node
        logging.getLogger().addHandler(ProgressHandler(tell))

    def sum_up(self, outputs: list[Output]) -> str:
        """A line for what a stage made."""
        return summaries.of(outputs)


def run(plan: dict[str, Any], events: EventWriter, formatter: JsonFormatter) -> None:
    """Runs the pipeline.

    Args:
      plan: what pipeline.local.command wrote: settings, run_id, from_nodes, to_nodes,
        base_run_id, and the fields of RunInputs under ``inputs``.
      events: where progress goes.
      formatter: the log's formatter; in a stage's process it is told the stage.

    Raises:
      StageError: for the stage that failed first.
    """
    settings = load_settings(pathlib.Path(plan["settings"]))
    os.environ.update(launch.environment(settings))
    inputs = RunInputs(**plan["inputs"])
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
    pathlib.Path(str(inputs.metadata_path)).parent.mkdir(parents=True, exist_ok=True)
    options = None
    if plan["from_nodes"] or plan["to_nodes"]:
        options = tfx_pipeline.RunOptions(
            from_nodes=plan["from_nodes"] or None,
            to_nodes=plan["to_nodes"] or None,
            base_pipeline_run_id=plan["base_run_id"],
        )
    observer = Observer(events, formatter)
    at_once = settings.run.stages or os.cpu_count() or 1
    ObservedDagRunner(plan["run_id"], observer, at_once, AHEAD).run(pipeline, run_options=options)
    told = decision.of(observer.ended)
    if told is not None:
        events.send(Event("decision", text=told.text, ok=told.pushed))

"""Reads the parts of a source of rows on Beam: one element a record batch, one shard a part."""

import json
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.ingest.durations import format_instant, parse_duration
from components.ingest.examples import fill_examples_artifact, split_folder
from components.ingest.kinds import source_from_json
from components.ingest.patience import plan_parts
from components.ingest.plan import Column, Plan, Times
from components.ingest.source import RowSource
from components.ingest.spans.days import DAY, write_day
from components.ingest.spans.refresh import Refreshed
from components.ingest.spans.shards import write_shards
from components.ingest.spans.store import DayStore
from components.ingest.split import read_window
from components.sql_example_gen.by_day import refresh_by_beam
from components.sql_example_gen.stages import (
    CommitShards,
    ReadPartition,
    WriteShards,
    read_error,
    read_pieces,
)

SPLIT = "all"
REPORT = "report.json"
_WORK = ".work"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads one source of rows."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes Examples and report.

        Args:
          input_dict: nothing.
          output_dict: ``examples``: Examples; ``report``: QualityReport.
          exec_properties: as SqlExampleGen takes them.

        Raises:
          DataError: if the source can't be reached, refuses the query or gives no rows, or a value
            doesn't fit; see ``RowSource.plan``.
        """
        name = exec_properties["name"]
        source = source_from_json(exec_properties["source"])
        assert isinstance(source, RowSource)
        times = query_times(source, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        report = artifact_utils.get_single_uri(output_dict["report"])

        if source.incremental is not None:
            self._read_by_day(name, source, times, exec_properties, examples, report)
            return
        identity = source.identity(name)
        plan = plan_parts(name, source, times)
        work = f"{examples.uri}/{_WORK}"
        folder = split_folder(examples.uri, SPLIT)
        for path in (work, folder):
            if fileio.exists(path):
                fileio.rmtree(path)
            fileio.makedirs(path)
        problem = None
        try:
            with self._make_beam_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "Parts" >> beam.Create(list(enumerate(plan.partitions)), reshuffle=False)
                    | "SideBySide" >> beam.Reshuffle()
                    | "Read" >> beam.ParDo(ReadPartition(name, source, times, plan.columns, work))
                    | "Write" >> beam.ParDo(WriteShards(name, source.time, times, work))
                    | "Together" >> beam.GroupByKey()
                    | "Commit" >> beam.ParDo(CommitShards(folder, work, len(plan.partitions)))
                )
        except Exception:
            # Beam hands on a worker's error as text; the worker has left it as it was.
            problem = read_error(work)
            if problem is None:
                raise
        source.check_identity(name, identity)
        if problem is not None:
            raise problem
        pieces = read_pieces(work)
        fileio.rmtree(work)
        _write_report(report, quality_report(name, plan, times, pieces))
        fill_examples_artifact(examples, [SPLIT])

    def _read_by_day(
        self,
        name: str,
        source: RowSource,
        times: Times,
        exec_properties: dict[str, Any],
        examples: types.Artifact,
        report: str,
    ) -> None:
        """As Do, for a source whose days are kept."""
        assert source.incremental is not None
        store = DayStore(name, source)
        horizon = parse_duration(exec_properties["horizon"]) if exec_properties["spine"] else 0
        folder = split_folder(examples.uri, SPLIT)
        if fileio.exists(folder):
            fileio.rmtree(folder)
        fileio.makedirs(folder)
        days = refresh_by_beam(self._make_beam_pipeline, name, source, store, times, horizon)
        rows, first, last = write_shards(name, source, store, days, times, folder)
        store.prune((times.begin - source.incremental.keep) // DAY)
        _write_report(report, report_by_day(name, days, times, rows, first, last))
        fill_examples_artifact(examples, [SPLIT])
        examples.set_int_custom_property("span", days.days[-1].day)


def _write_report(folder: str, content: dict[str, Any]) -> None:
    fileio.makedirs(folder)
    with fileio.open(f"{folder}/{REPORT}", "w") as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False))


def query_times(source: RowSource, exec_properties: dict[str, Any]) -> Times:
    """The stretch of time that a run needs of a source.

    Args:
      source: the source's settings.
      exec_properties: as SqlExampleGen takes them.

    Returns:
      The observations' window; for events, from the earliest that the first observation looks at.
    """
    window = read_window(*(exec_properties[key] for key in ("as_of", "split", "horizon")))
    before = 0 if exec_properties["spine"] else source.lookback
    return Times(window.begin - before, window.end, window.as_of)


def quality_report(
    name: str, plan: Plan, times: Times, pieces: list[dict[str, Any]]
) -> dict[str, Any]:
    """What was read, for people.

    Args:
      name: the source's name.
      plan: how it was read.
      times: the stretch of time asked for.
      pieces: what the parts' writers tell, see ``stages.WriteShards``.
    """
    first = [piece["first"] for piece in pieces if piece["first"] is not None]
    last = [piece["last"] for piece in pieces if piece["last"] is not None]
    rows = sum(piece["rows"] for piece in pieces)
    return {
        "summary": f"{rows:,} rows",
        "source": name,
        "asked": {
            "begin": format_instant(times.begin),
            "end": format_instant(times.end),
            "as_of": format_instant(times.as_of),
        },
        "rows": rows,
        "batches": sum(piece["batches"] for piece in pieces),
        "first": format_instant(min(first)) if first else None,
        "last": format_instant(max(last)) if last else None,
        "rows_outside": sum(piece["outside"] for piece in pieces),
        "columns": {column.name: column.kind for column in plan.columns},
        "partitions": [
            {
                "partition": str(partition),
                "rows": sum(p["rows"] for p in pieces if p["index"] == index),
                "seconds": round(sum(p["seconds"] for p in pieces if p["index"] == index), 3),
            }
            for index, partition in enumerate(plan.partitions)
        ],
    }


def report_by_day(
    name: str, refreshed: Refreshed, times: Times, rows: int, first: int, last: int
) -> dict[str, Any]:
    """As ``quality_report``, of kept days; ``spans`` tells what of them was read anew.

    Args:
      name: the source's name.
      refreshed: the window's days.
      times: the stretch of time asked for.
      rows: how many rows lie in it.
      first: their first time, microseconds since the epoch.
      last: their last.
    """
    plan = Plan(tuple(Column(*column) for column in refreshed.columns.items()), ())
    piece = {"rows": rows, "first": first, "last": last, "batches": 0, "outside": 0}
    content = quality_report(name, plan, times, [piece])
    read, rows_read = len(refreshed.read), sum(day.rows for day in refreshed.read)
    content["spans"] = {
        "of": "days",
        "read": read,
        "reused": len(refreshed.days) - read,
        "rows_read": rows_read,
        "newest_read": write_day(refreshed.read[-1].day) if read else None,
    }
    content["summary"] += f", {read} of {len(refreshed.days)} days read ({rows_read:,} rows)"
    return content

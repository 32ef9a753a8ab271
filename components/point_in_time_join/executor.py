"""Runs the join on Beam and checks the whole of it."""

import functools
import json
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.ingest.durations import parse_instant
from components.ingest.errors import DataError
from components.ingest.examples import fill_examples_artifact, split_files
from components.ingest.split import data_window
from components.point_in_time_join import report, shuffle, tally
from components.point_in_time_join.settings import JoinSettings
from components.point_in_time_join.splits import SPLITS

REPORT = "report.json"
_PROBLEM = "problem.json"
_WORK = ".work"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Joins Examples of any number of sources onto the spine's."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads all inputs, writes the splits ``train`` and ``eval`` and the report.

        Args:
          input_dict: ``spine`` and ``source_<name>``: Examples.
          output_dict: ``examples``: Examples; ``report``: QualityReport.
          exec_properties: ``settings``: JoinSettings as JSON; ``as_of``: ISO 8601.

        Raises:
          DataError: if the data breaks a rule; see ``checks.check_whole``.
        """
        settings = JoinSettings.model_validate_json(exec_properties["settings"])
        as_of = parse_instant(exec_properties["as_of"])
        files = _files(input_dict["spine"], shuffle.SPINE)
        for name in sorted(settings.sources):
            files += _files(input_dict[f"source_{name}"], name)
        splits: dict[str, list[str]] = {}
        for name, split in dict.fromkeys((name, split) for name, split, *_ in files):
            splits.setdefault(name, []).append(split)
        buckets = shuffle.count_buckets(files)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        folder = artifact_utils.get_single_uri(output_dict["report"])
        work = f"{folder}/{_WORK}"
        fileio.makedirs(work)

        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create([None, *files], reshuffle=len(files) > 1)
                | "Send"
                >> beam.ParDo(shuffle.SendToBuckets(exec_properties["settings"], buckets, work))
                | "ByBucket" >> beam.GroupByKey()
                | "Join"
                >> beam.ParDo(
                    shuffle.JoinBucket(
                        exec_properties["settings"], splits, as_of, buckets, examples.uri
                    )
                )
                | "Together" >> beam.GroupByKey()
                | "Report" >> beam.MapTuple(_Report(exec_properties["settings"], as_of, folder))
            )
        fileio.rmtree(work)
        problem = f"{folder}/{_PROBLEM}"
        if fileio.exists(problem):
            with fileio.open(problem) as file:
                raise DataError(*json.load(file))
        fill_examples_artifact(examples, list(SPLITS))


class _Report:
    """Adds the buckets' tallies up and writes the report, or the problem that they show."""

    def __init__(self, settings: str, as_of: int, folder: str) -> None:
        self._json = settings
        self._as_of = as_of
        self._folder = folder

    def __call__(self, _: None, tallies: Iterable[tally.Tally]) -> None:
        settings = JoinSettings.model_validate_json(self._json)
        window = data_window(self._as_of, settings.split, settings.horizon)
        content: Any
        try:
            total = functools.reduce(tally.add, tallies)
            name, content = REPORT, report.make_report(total, settings, window)
        except DataError as error:
            name, content = _PROBLEM, error.__reduce__()[1]
        fileio.makedirs(self._folder)
        path = f"{self._folder}/{name}"
        with fileio.open(f"{path}.part", "w") as file:
            file.write(json.dumps(content, indent=2, default=str))
        fileio.rename(f"{path}.part", path, overwrite=True)


def _files(artifacts: list[types.Artifact], name: str) -> list[shuffle.File]:
    uri = artifact_utils.get_single_uri(artifacts)
    # The folders tell, not the artifact's property, which not every orchestrator hands on.
    folders = sorted(str(folder).strip("/") for folder in fileio.listdir(uri))
    splits = [name.removeprefix("Split-") for name in folders if name.startswith("Split-")]
    if not splits:
        raise DataError(
            name or "spine", "Examples", "it has no split", "Check the stage that reads this source"
        )
    return [
        (name, split, place, path)
        for split in splits
        for place, path in enumerate(split_files(uri, split))
    ]

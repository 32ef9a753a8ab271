"""Windows a sensor source on Beam: portions of files side by side, then buckets of entities."""

import json
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.ingest.examples import fill_examples_artifact
from components.ingest.sensor.features import SensorJob, portions, prepare
from components.ingest.sensor.kept import KeptPart, KeptReadings, name_of
from components.ingest.sensor.preview import check_channels
from components.ingest.sensor.quality import check_tally, quality_report
from components.ingest.sensor.source import SensorSource
from components.ingest.sensor.tally import Tally
from components.ingest.sensor.windows import window_splits
from components.ingest.split import read_window
from components.ingest.whole_file import whole_file
from components.sensor_example_gen.stages import CleanPortion, WindowBucket, read_outcome

REPORT = "report.json"
_WORK = ".work"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads, cleans and windows one sensor source."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes Examples, quarantine and report.

        Args:
          input_dict: nothing.
          output_dict: ``examples``, ``quarantine`` and ``report``, one artifact each.
          exec_properties: as SensorExampleGen takes them.

        Raises:
          DataError: if the files can't be found or read, lack a column, hold too many bad readings
            or none of the run's time. The report and the quarantine are written before.
        """
        name = exec_properties["name"]
        source = SensorSource.model_validate_json(exec_properties["source"])
        window = read_window(*(exec_properties[key] for key in ("as_of", "split", "horizon")))
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        quarantine = artifact_utils.get_single_uri(output_dict["quarantine"])
        report = artifact_utils.get_single_uri(output_dict["report"])
        fileio.makedirs(quarantine)

        job = prepare(name, source, window.begin, window.end)
        pieces = portions(job)
        store = KeptReadings(job.plan) if source.incremental else None
        kept = store.load(job.plan, job.parts) if store else {}
        work = f"{quarantine}/{_WORK}"
        with self._make_beam_pipeline() as pipeline:
            cleaned = (
                pipeline
                | "Portions" >> beam.Create(list(enumerate(pieces)), reshuffle=len(pieces) > 1)
                | "Clean" >> beam.ParDo(CleanPortion(job, work, quarantine, store, kept))
            )
            # Each bucket has an element, so that also one without readings writes its shards.
            every = pipeline | "Buckets" >> beam.Create([(b, "") for b in range(job.buckets)])
            _ = (
                (cleaned, every)
                | "Together" >> beam.Flatten()
                | "ByBucket" >> beam.GroupByKey()
                | "Window" >> beam.ParDo(WindowBucket(job, work, quarantine, examples.uri))
            )
        tally = Tally()
        for outcome in sorted(str(found) for found in fileio.listdir(work)):
            if outcome.endswith(".outcome"):
                tally.add(read_outcome(f"{work}/{outcome}"))
        fileio.rmtree(work)
        with whole_file(f"{report}/{REPORT}") as file:
            content = quality_report(tally, job.files, job.clocks, job.seen.lacking)
            if store is not None:
                content["spans"] = spans = _spans(job, kept)
                content["summary"] += f", {spans['read']} of {len(job.files)} files read"
            file.write(json.dumps(content, indent=2, ensure_ascii=False).encode())
        check_channels(name, source, job.seen, tally, job.files)
        check_tally(name, tally, job.files, source.max_rejected)
        fill_examples_artifact(examples, list(window_splits(source)))
        if store is not None:
            store.prune(job.plan, job.parts, kept)


def _spans(job: SensorJob, kept: Mapping[str, KeptPart]) -> dict[str, Any]:
    """How many files were read, and of how many clean readings were kept."""
    read = {part.path for part in job.parts if name_of(part) not in kept}
    return {"of": "files", "read": len(read), "reused": len(job.files) - len(read)}

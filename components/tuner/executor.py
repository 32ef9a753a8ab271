"""Tuner's work between TFX's artifacts and the search."""

import hashlib
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.ingest import examples, tfrecord
from components.ingest.entities import entity_values
from components.tuner import holdout, hyperparameters, report
from components.tuner.pool import Pool, cores
from components.tuner.search import line, search
from components.tuner.settings import TunerSettings

REPORT = "report.json"
TRAIN = "train"
_BATCH = 4096
_OBJECTIVE = "trainer.trial:load"
_IDENTITY = ("settings", "custom_config", "code")


def part_examples(files: Sequence[str], settings: TunerSettings) -> npt.NDArray[np.int8]:
    """Which part each example of the train split belongs to; see ``holdout``.

    Args:
      files: of the split.
      settings: the search's.

    Raises:
      TuningError: if a part is empty.
    """
    times, entities, checksums = [], [], []
    for records in _batches(files):
        batch = examples.flatten(examples.decode(records))
        times.append(batch.column(settings.time).to_numpy(zero_copy_only=False))
        entities.append(entity_values(batch.column(settings.entity), "examples", settings.entity))
        checksums.append(np.array([google_crc32c.value(r) for r in records], np.uint32))
    if not times:
        raise holdout.TuningError("the train split holds no examples")
    part = holdout.hold_out(
        np.concatenate(times),
        pa.concat_arrays(entities),
        settings.split,
        settings.validation,
        settings.horizon,
    )
    holdout.thin(part, np.concatenate(checksums), settings.max_examples)
    return part


def _batches(files: Sequence[str]) -> Iterator[list[bytes]]:
    records = tfrecord.read_records(files)
    while chunk := list(itertools.islice(records, _BATCH)):
        yield chunk


def _of_part(
    files: Sequence[str], part: npt.NDArray[np.int8], code: int
) -> Iterator[Sequence[bytes]]:
    chosen = itertools.compress(tfrecord.read_records(files), part == code)
    while chunk := list(itertools.islice(chosen, _BATCH)):
        yield chunk


class Executor(base_executor.BaseExecutor):
    """Parts the train split, searches, reports."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the best hyperparameters and ``report.json``.

        Raises:
          TuningError: if no trial can be made, or none went to its end.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        # TensorFlow: only here, and in the processes of trials.
        from trainer import trial

        settings = TunerSettings.model_validate_json(exec_properties["settings"])
        config = json.loads(exec_properties["custom_config"])
        graph = artifact_utils.get_single_uri(input_dict["transform_graph"])
        uri = artifact_utils.get_single_uri(input_dict["examples"])
        files = examples.split_files(uri, TRAIN)
        part = part_examples(files, settings)
        sizes = {name: int((part == code).sum()) for code, name in enumerate(trial.PARTS)}
        logging.info("Trials learn from %d examples and are measured on %d", *sizes.values())
        with tempfile.TemporaryDirectory(prefix="tuner-") as folder:
            parts = {name: _of_part(files, part, code) for code, name in enumerate(trial.PARTS)}
            trial.prepare(config, settings.metric, graph, parts, Path(folder))
            identity = "\0".join([uri, graph, *(str(exec_properties[k]) for k in _IDENTITY)])
            name = hashlib.sha256(identity.encode()).hexdigest()[:16]
            processes = min(settings.parallel, settings.trials, cores())
            with Pool(_OBJECTIVE, folder, processes, settings.trial_seconds) as pool:
                start = config["config"].get("training", {})
                trials = search(settings, start, Path(settings.directory) / f"{name}.db", pool)
        found = report.make(trials, settings, sizes)
        for each in trials:
            logging.info("%3d %s", each.number + 1, line(each))
        logging.info("%s", found["summary"])
        best, results = (
            Path(artifact_utils.get_single_uri(output_dict[key]))
            for key in ("best_hyperparameters", "tuner_results")
        )
        hyperparameters.write(best, found["best"]["hyperparameters"])
        results.mkdir(parents=True, exist_ok=True)
        (results / REPORT).write_text(json.dumps(found, indent=2), encoding="utf-8")

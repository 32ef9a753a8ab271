"""A training job as its workers are handed it: plain JSON, with places instead of objects."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

INPUTS = (
    "train_files",
    "eval_files",
    "schema_path",
    "schema_file",
    "transform_graph_path",
    "transform_output",
    "base_model",
)
"""Fields of FnArgs that say where something is read: a URI, a list of patterns, or None."""
OUTPUTS = ("serving_model_dir", "eval_model_dir", "model_run_dir")
"""Fields of FnArgs that say where something is written: a URI."""


class TrainingFailed(Exception):  # noqa: N818
    """Training ended without a model; the message has the failing worker's own words."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What all workers of a training run together.

    Attributes:
      run_fn: where the function is imported from, such as ``trainer.run.run_fn``.
      fn_args: the fields of ``tfx.components.FnArgs`` by name, without ``data_accessor``.
      payload_format: of the examples, as ``tfx.proto.example_gen_pb2.PayloadFormat`` names it.
      scratch: a folder or bucket that all workers and the launcher see. The same inputs have the
        same, so that a run that begins anew finds the backup of one that was killed; whoever calls
        the launcher removes it once the model is made.
      run: the pipeline run's id, for labels; empty where there is none.
    """

    run_fn: str
    fn_args: dict[str, Any]
    payload_format: str
    scratch: str
    run: str = ""

    @property
    def key(self) -> str:
        """What the job is called, 16 hexadecimal digits: the last part of ``scratch``."""
        return self.scratch.rstrip("/").rpartition("/")[2]

    @property
    def backup(self) -> str:
        """The folder in which the trainer keeps what it resumes from."""
        return f"{self.scratch.rstrip('/')}/backup"

    def moved(self, move: Callable[[str], str], scratch: str) -> "Job":
        """The same job with its inputs and outputs elsewhere.

        Args:
          move: tells of a URI, a folder or a pattern, where it lies for the workers.
          scratch: the folder that they share.
        """
        fn_args = dict(self.fn_args)
        for name in (*INPUTS, *OUTPUTS):
            place = fn_args.get(name)
            if isinstance(place, list):
                fn_args[name] = [move(one) for one in place]
            elif place is not None:
                fn_args[name] = move(place)
        return dataclasses.replace(self, fn_args=fn_args, scratch=scratch)

    def to_json(self) -> str:
        """The job as the file that ``components.distributed_trainer.worker`` reads."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Reads what to_json wrote."""
        return cls(**json.loads(text))


def make_job(
    run_fn: str,
    fn_args: dict[str, Any],
    payload_format: str,
    directory: pathlib.Path,
    run: str = "",
) -> Job:
    """The job of a training.

    Args:
      run_fn: where the function is imported from.
      fn_args: the fields of FnArgs without ``data_accessor``.
      payload_format: of the examples.
      directory: holds a folder for each training. The folder's name tells what is trained on what,
        but not where the model goes, since TFX removes that folder of a failed run and makes
        another, nor which workers train: more of them, or more patience, go on where others ended.
      run: the pipeline run's id.
    """
    trained = {name: value for name, value in fn_args.items() if name not in OUTPUTS}
    key = hashlib.sha256(json.dumps([run_fn, trained], sort_keys=True).encode()).hexdigest()[:16]
    return Job(run_fn, fn_args, payload_format, str(directory / key), run)

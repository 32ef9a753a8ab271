"""What is known of a run: its record, its plan, and what its stages left on the disk."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from pipeline import history

Report = Mapping[str, Any]

READERS = {"SqlExampleGen": "SQL", "StoreExampleGen": "store", "SensorExampleGen": "sensors"}
"""The stages that read a source, and what such a source is called."""


class NoRunError(Exception):
    """There is no such run."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run, ended or not.

    Attributes:
      folder: the run's, below ``runs``.
      record: its ``run.json``.
      plan: its ``plan.json``.
      executions: by stage that ran or was taken over: its execution, and its outputs' folders.
    """

    folder: pathlib.Path
    record: Report
    plan: Report
    executions: Mapping[str, tuple[int, Mapping[str, pathlib.Path]]]

    @property
    def root(self) -> pathlib.Path:
        """The folder that holds all that runs make."""
        return self.folder.parent.parent

    def place(self, stage: str, output: str) -> pathlib.Path | None:
        """The folder of a stage's output, if it is there."""
        _, outputs = self.executions.get(stage, (0, {}))
        folder = outputs.get(output)
        return folder if folder is not None and folder.exists() else None

    def report(self, stage: str, output: str, file: str = "report.json") -> Report | None:
        """A stage's report, if it left one.

        Raises:
          ValueError: if the file is no JSON.
        """
        folder = self.place(stage, output)
        path = None if folder is None else folder / file
        if path is None or not path.is_file():
            return None
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def stages(self, kind: str) -> list[str]:
        """The run's stages of a kind, such as ``SqlExampleGen``, in order."""
        return [name for name in self.record["nodes"] if name.partition("-")[0] == kind]


def find(runs: pathlib.Path, wanted: str | None) -> pathlib.Path:
    """The folder of a run.

    Args:
      runs: the folder of all runs.
      wanted: the run's id, or enough of its beginning; None for the newest.

    Raises:
      NoRunError: if there is none, or more than one that begins so.
    """
    known = sorted(path.parent for path in runs.glob("*/run.json"))
    if not known:
        raise NoRunError(f"no run in {runs} yet: python -m pipeline run")
    if wanted is None:
        return known[-1]
    found = [folder for folder in known if folder.name == wanted]
    found = found or [folder for folder in known if folder.name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    some = ", ".join(folder.name for folder in (found or known)[-5:])
    raise NoRunError(
        f"{len(found) or 'no'} runs in {runs} are called {wanted!r}: "
        f"{'name one of' if found else 'the newest are'} {some}"
    )


def read(folder: pathlib.Path) -> Run:
    """Reads what a run left.

    Args:
      folder: the run's.

    Raises:
      NoRunError: if its record cannot be read.
    """
    try:
        record, plan = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("run.json", "plan.json")
        )
    except (OSError, ValueError) as error:
        raise NoRunError(f"the record of run {folder.name} cannot be read: {error}") from None
    found = history.executions(folder.parent.parent / "metadata.db", record["run_id"])
    return Run(
        folder,
        record,
        plan,
        {
            stage: (number, {output.key: output.uri for output in outputs})
            for stage, (number, outputs) in found.items()
        },
    )

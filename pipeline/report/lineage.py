"""Where a run comes from, so that it can be made again: settings, schema, code, data, artifacts."""

import dataclasses
import pathlib
import re
from typing import Any

from pipeline import fingerprint
from pipeline.report import numbers
from pipeline.report.run import Run

_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]+@")


@dataclasses.dataclass(frozen=True)
class Lineage:
    """What the section shows: ``facts`` are name, value and what it is."""

    facts: list[tuple[str, str, str]]
    artifacts: list[list[Any]]
    hyperparameters: list[list[str]]
    settings: str
    settings_note: str


def of(run: Run) -> Lineage:
    """The section."""
    inputs = run.plan["inputs"]
    told = inputs["lineage"]
    commit = told.get("commit", "")
    facts = [
        ("run", run.record["run_id"], "stands in every log line and in the version it released"),
        ("as of", numbers.instant(run.record["as_of"]), "the run knows nothing later"),
        ("began", numbers.instant(run.record["began"]), ""),
        ("ended", numbers.instant(run.record.get("ended")), ""),
        (
            "commit",
            commit.rstrip("+") or "none: not in git",
            "with changes that were not committed" if commit.endswith("+") else "",
        ),
        *(
            (name, told[name], "fingerprint")
            for name in ("code", "settings", "schema")
            if told.get(name)
        ),
        *((f"data of {name}", mark, "fingerprint") for name, mark in inputs["watermarks"].items()),
    ]
    chosen = inputs.get("trainer_config") or {}
    text, note = _settings(run)
    return Lineage(
        facts,
        [
            [stage, output, _near(folder, run.root)]
            for stage in run.record["nodes"]
            for output, folder in run.executions.get(stage, (0, {}))[1].items()
        ],
        [[name, str(value)] for name, value in chosen.get("training", {}).items()],
        text,
        note,
    )


def _settings(run: Run) -> tuple[str, str]:
    """The settings file as it is now, and whether the run read the same."""
    path = pathlib.Path(run.plan["settings"])
    try:
        content = path.read_bytes()
    except OSError:
        return "", f"{path.name} is not where the run read it"
    same = fingerprint.text(content) == run.plan["inputs"]["lineage"].get("settings")
    note = "as the run read it" if same else "as it is now; it has changed since the run"
    text = content.decode("utf-8", errors="replace")
    return _PASSWORD.sub(r"\1:…@", text), note


def _near(folder: pathlib.Path, root: pathlib.Path) -> str:
    try:
        return str(folder.relative_to(root))
    except ValueError:
        return str(folder)

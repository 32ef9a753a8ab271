"""A run's report: each section read from what the stages left, then one page of them."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.report import (
    anomalies,
    data,
    decision,
    features,
    lineage,
    page,
    quality,
    serving,
    stages,
    training,
)
from pipeline.report.run import Run, read

FILE = "report.html"

_SECTIONS: dict[str, Callable[[Run], Any]] = {
    "stages": stages.of,
    "data": data.of,
    "anomalies": anomalies.of,
    "features": features.of,
    "training": training.of,
    "quality": quality.of,
    "serving": serving.of,
    "lineage": lineage.of,
}


def write(folder: pathlib.Path, project: str, path: pathlib.Path | None = None) -> pathlib.Path:
    """Writes a run's report.

    Args:
      folder: the run's, below ``runs``.
      project: the project's name.
      path: the file; None for ``report.html`` in the run's folder.

    Returns:
      The file.

    Raises:
      pipeline.report.run.NoRunError: if the run's record cannot be read.
      OSError: if the file cannot be written.
    """
    path = path or folder / FILE
    text = render(read(folder), project)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def render(run: Run, project: str) -> str:
    """The page.

    A section whose files an older version of this code wrote, or that are broken, says so in its
    place: the others are shown.
    """
    found: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for name, section in _SECTIONS.items():
        try:
            found[name] = section(run)
        except (
            OSError,
            ValueError,
            ArithmeticError,
            LookupError,
            TypeError,
            AttributeError,
        ) as error:
            found[name] = None
            broken[name] = f"{type(error).__name__}: {error}"
    return page.render(
        "report.html",
        run=run,
        project=project,
        decision=decision.of(run),
        broken=broken,
        sections=found,
        order=_order(found),
    )


def _order(found: Mapping[str, Any]) -> list[str]:
    """The sections' names; the anomalies come first where they stopped the run."""
    stopped = found["anomalies"] is not None and found["anomalies"].stopping
    return sorted(found, key=lambda name: not (stopped and name == "anomalies"))

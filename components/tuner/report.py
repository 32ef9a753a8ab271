"""What a search found, for people."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.tuner.holdout import TuningError
from components.tuner.search import Trial, best, line, values
from components.tuner.settings import TunerSettings

_MOST_TOLD = 5


def make(trials: list[Trial], settings: TunerSettings, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The report, as ``report.json`` holds it.

    Args:
      trials: all that ended.
      settings: how the search was made.
      sizes: how many examples trials learnt from and were measured on.

    Raises:
      TuningError: if no trial went to its end.
    """
    found = best(trials, settings.better)
    if found is None:
        told = "; ".join(f"trial {t.number + 1} {line(t)}" for t in trials[:_MOST_TOLD])
        raise TuningError(
            f"none of {len(trials)} trials went to its end: {told or 'tuning.seconds is too short'}"
        )
    counts = [
        f"{count} {state}"
        for state in ("pruned", "failed")
        if (count := sum(t.state == state for t in trials))
    ]
    first = next(t for t in trials if t.number == 0)
    instead = ", the first" if found.number == 0 else f", trial {found.number + 1}"
    before = (
        "" if found.number == 0 or first.value is None else f" (the first had {first.value:.4f})"
    )
    return {
        "summary": f"{len(trials)} trials{' (' + ', '.join(counts) + ')' if counts else ''}, best "
        f"{settings.metric} {found.value:.4f}{instead}{before}: {values(found.hyperparameters)}",
        "metric": settings.metric,
        "better": settings.better,
        "examples": dict(sizes),
        "best": dataclasses.asdict(found),
        "trials": [dataclasses.asdict(trial) for trial in trials],
        "settings": settings.model_dump(),
    }

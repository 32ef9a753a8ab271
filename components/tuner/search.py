"""The search: Optuna draws hyperparameters, the pool tries them, a database keeps what came of it.

Trials are drawn in rounds, each from what was known after the round before, and by a sampler whose
seed is the search's and the trial's number. So the same search makes the same trials whatever the
order in which they end, on any number of cores, and also when it is interrupted and gone on with.
"""

import dataclasses
import json
import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from absl import logging
from optuna.trial import TrialState

from components.tuner.pool import Outcome, Pool
from components.tuner.settings import WHOLE, Allowed, Range, TunerSettings

_STATES = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
_WARMUP_STEPS = 2
"""Epochs in which no trial is pruned."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial that has ended.

    Attributes:
      number: its place among the trials, from 0.
      state: done, pruned or failed.
      value: what it reached; of a pruned one the last value before.
      hyperparameters: what it tried.
      seconds: how long it took.
      why: why it failed, else empty.
    """

    number: int
    state: str
    value: float | None
    hyperparameters: dict[str, Any]
    seconds: float
    why: str


def best(trials: list[Trial], better: str) -> Trial | None:
    """The best trial that went to its end; the earlier one of two that are as good."""
    done = [t for t in trials if t.state == "done" and t.value is not None]
    sign = 1 if better == "lower" else -1
    return min(done, key=lambda t: sign * (t.value or 0.0), default=None)


def search(
    settings: TunerSettings, start: Mapping[str, Any], storage: Path, pool: Pool
) -> list[Trial]:
    """Searches, or goes on with a search that was interrupted.

    Args:
      settings: how to search, and for what.
      start: values to try first, as far as they lie in the space.
      storage: the SQLite file that keeps the search; made where it is missing. One file is one
        search: another space, metric or data belongs into another file.
      pool: what tries hyperparameters.

    Returns:
      The trials that ended, in the order in which they were drawn.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + settings.seconds
    study = optuna.create_study(
        storage=f"sqlite:///{storage}",
        study_name="search",
        load_if_exists=True,
        direction="maximize" if settings.better == "higher" else "minimize",
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=_WARMUP_STEPS)
        if settings.prune
        else optuna.pruners.NopPruner(),
    )
    _take_up(study, settings, start)
    while len(ended := _ended(study)) < settings.trials and time.monotonic() < end:
        _round(study, settings, len(ended), pool)
    return [_told(number, frozen) for number, frozen in enumerate(ended)]


def _take_up(study: optuna.Study, settings: TunerSettings, start: Mapping[str, Any]) -> None:
    """Queues what an interrupted search was at; in a new one, the values to start with."""
    known = study.get_trials()
    for stale in known:
        if stale.state == TrialState.RUNNING:
            study.tell(stale.number, state=TrialState.FAIL)
            study.enqueue_trial(stale.params)
    if known:
        logging.info("Going on with a search: %d trials have ended", len(_ended(study)))
        return
    inside = {n: v for n, v in start.items() if n in settings.space}
    study.enqueue_trial(
        {
            name: value if isinstance(allowed, Range) else json.dumps(value)
            for name, value in inside.items()
            if _allows(allowed := settings.space[name], value)
        }
    )


def _round(study: optuna.Study, settings: TunerSettings, ended: int, pool: Pool) -> None:
    # A round that was interrupted while it was told is finished first.
    count = min(settings.parallel - ended % settings.parallel, settings.trials - ended)
    drawn: dict[int, optuna.Trial] = {}
    places: dict[int, int] = {}
    hyperparameters: dict[int, dict[str, Any]] = {}
    for place in range(ended, ended + count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = optuna.samplers.TPESampler(
                seed=(settings.seed * 1000 + place) % 2**32, constant_liar=True
            )
        trial = study.ask()
        drawn[trial.number], places[trial.number] = trial, place
        hyperparameters[trial.number] = {
            name: _draw(trial, name, allowed) for name, allowed in settings.space.items()
        }

    def on_step(number: int, step: int, value: float) -> bool:
        logging.info(
            "Trial %d of %d, epoch %d: %s %.4f",
            places[number] + 1,
            settings.trials,
            step + 1,
            settings.metric,
            value,
        )
        drawn[number].report(value, step)
        return drawn[number].should_prune()

    outcomes = pool.run(hyperparameters, on_step)
    for number, trial in drawn.items():
        _tell(study, trial, outcomes[number])
        ended_trial = _told(places[number], study.trials[number])
        logging.info("Trial %d of %d %s", places[number] + 1, settings.trials, line(ended_trial))


def line(trial: Trial) -> str:
    """What came of a trial, in words."""
    value = "" if trial.value is None else f" {trial.value:.4f}"
    why = f" ({trial.why})" if trial.why else ""
    return f"{trial.state}{value}{why} with {values(trial.hyperparameters)}, {trial.seconds:.0f} s"


def values(hyperparameters: Mapping[str, Any]) -> str:
    """Hyperparameters in words."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in hyperparameters.items()
    )


def _draw(trial: optuna.Trial, name: str, allowed: Allowed) -> Any:
    if not isinstance(allowed, Range):
        # Optuna's choices are plain values; a list of layers is none.
        return json.loads(trial.suggest_categorical(name, [json.dumps(c) for c in allowed]))
    if name in WHOLE:
        return trial.suggest_int(name, int(allowed.min), int(allowed.max), log=allowed.log)
    return trial.suggest_float(name, allowed.min, allowed.max, log=allowed.log)


def _allows(allowed: Allowed, value: Any) -> bool:
    if isinstance(allowed, Range):
        return bool(allowed.min <= value <= allowed.max)
    return value in allowed


def _tell(study: optuna.Study, trial: optuna.Trial, outcome: Outcome) -> None:
    why = outcome.why
    if outcome.value is not None and not math.isfinite(outcome.value):
        why = f"its value is {outcome.value}"
    trial.set_user_attr("seconds", outcome.seconds)
    if why:
        # What has no reason was interrupted, and is tried again: see _ended.
        trial.set_user_attr("why", why)
        study.tell(trial, state=TrialState.FAIL)
    elif outcome.pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, outcome.value)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state == TrialState.FAIL and "why" in trial.user_attrs)
    ]


def _told(number: int, frozen: optuna.trial.FrozenTrial) -> Trial:
    hyperparameters = {
        name: json.loads(value) if isinstance(value, str) else value
        for name, value in frozen.params.items()
    }
    return Trial(
        number,
        _STATES[frozen.state],
        frozen.value,
        hyperparameters,
        frozen.user_attrs.get("seconds", 0.0),
        frozen.user_attrs.get("why", ""),
    )

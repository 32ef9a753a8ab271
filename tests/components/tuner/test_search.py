"""The same search makes the same trials, however often it is interrupted."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest

from components.tuner.holdout import TuningError
from components.tuner.pool import OnStep, Outcome, Pool
from components.tuner.report import make
from components.tuner.search import Trial, best, search
from components.tuner.settings import TunerSettings

SETTINGS = TunerSettings(
    trials=10,
    parallel=2,
    metric="auc",
    better="higher",
    split="time",
    time="t",
    entity="e",
    horizon=0,
    space={
        "dropout": {"min": 0.0, "max": 0.9},
        "batch_size": {"min": 8, "max": 64, "log": True},
        "hidden_layers": [[32], [64, 32], []],
    },
)
START = {"dropout": 0.1, "batch_size": 4, "hidden_layers": [64, 32], "epochs": 10}


class Here(Pool):
    """Runs trials in this process; from the ``stop``-th on it is interrupted."""

    def __init__(self, stop: int | None = None) -> None:
        self.tried: list[Mapping[str, Any]] = []
        self.stop = stop

    def run(self, trials: Mapping[int, Mapping[str, Any]], on_step: OnStep) -> dict[int, Outcome]:
        outcomes = {}
        # Whatever the order in which they end.
        for number, given in reversed(trials.items()):
            if self.stop is not None and len(self.tried) >= self.stop:
                raise KeyboardInterrupt
            self.tried.append(given)
            value = 1 - (given["dropout"] - 0.3) ** 2 - abs(len(given["hidden_layers"]) - 1) / 9
            pruned = any(on_step(number, step, value * step) for step in range(5))
            outcomes[number] = Outcome(None if pruned else value, pruned, "", 1.0)
        return outcomes


def run(tmp_path: pathlib.Path, settings: TunerSettings = SETTINGS, stop: int | None = None):
    return search(settings, START, tmp_path / "made" / "search.db", Here(stop))


def test_it_begins_with_the_settings_and_finds_better(tmp_path) -> None:
    trials = run(tmp_path, SETTINGS.model_copy(update={"trials": 24}))
    first = trials[0].hyperparameters
    # What does not lie in the space is drawn.
    assert (first["dropout"], first["hidden_layers"]) == (0.1, [64, 32])
    assert 8 <= first["batch_size"] <= 64
    assert len(trials) == 24 and [t.number for t in trials] == list(range(24))
    assert all(isinstance(t.hyperparameters["batch_size"], int) for t in trials)
    found = best(trials, "higher")
    assert found is not None and found.value is not None and first["dropout"] == 0.1
    assert found.value > (trials[0].value or 0)
    assert {t.state for t in trials} == {"done", "pruned"}


@pytest.mark.parametrize("stop", [0, 7])
def test_an_interrupted_search_goes_on_as_if_nothing_had_been(tmp_path, stop) -> None:
    undisturbed = run(tmp_path / "one")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "two", stop=stop)
    resumed = Here()
    trials = search(SETTINGS, START, tmp_path / "two" / "made" / "search.db", resumed)
    assert trials == undisturbed
    # What had ended is not tried again, what was under way is.
    assert len(resumed.tried) == SETTINGS.trials - stop // 2 * 2


def test_another_seed_makes_other_trials(tmp_path) -> None:
    one = run(tmp_path / "one")
    other = run(tmp_path / "two", SETTINGS.model_copy(update={"seed": 2}))
    assert one[0].hyperparameters["dropout"] == other[0].hyperparameters["dropout"]
    assert one[1:] != other[1:]


def test_an_ended_search_tries_nothing_more(tmp_path) -> None:
    ended = run(tmp_path)
    again = Here(stop=0)
    assert search(SETTINGS, START, tmp_path / "made" / "search.db", again) == ended


def test_no_trial_is_drawn_after_the_time(tmp_path) -> None:
    settings = SETTINGS.model_copy(update={"seconds": 1e-9})
    assert run(tmp_path, settings) == []
    with pytest.raises(TuningError, match=r"none of 0 trials .* tuning.seconds is too short"):
        make([], settings, {})


def test_in_processes_of_their_own_too(tmp_path) -> None:
    target = "tuner_objectives:parabola"
    settings = SETTINGS.model_copy(
        update={"trials": 6, "space": {"dropout": SETTINGS.space["dropout"]}}
    )
    with Pool(target, str(tmp_path), 2, 60.0) as pool:
        trials = search(settings, START, tmp_path / "search.db", pool)
    tried = [json.loads(line) for line in (tmp_path / "tried").read_text().splitlines()]
    assert len(tried) == 6 and len({pid for pid, _ in tried}) <= 2
    assert all(int(threads) >= 1 for _, threads in tried)
    for trial in trials:
        assert trial.value == pytest.approx(-((trial.hyperparameters["dropout"] - 0.3) ** 2))


def test_the_report_tells_the_best_and_what_failed() -> None:
    trials = [
        Trial(0, "done", 0.8, {"dropout": 0.1}, 3.0, ""),
        Trial(1, "failed", None, {"dropout": 0.2}, 1.0, "its process was ended by SIGKILL"),
        Trial(2, "done", 0.9, {"dropout": 0.3}, 3.0, ""),
        Trial(3, "pruned", 0.95, {"dropout": 0.4}, 1.0, ""),
    ]
    made = make(trials, SETTINGS, {"fit": 80, "validation": 20})
    assert made["summary"] == (
        "4 trials (1 pruned, 1 failed), best auc 0.9000, trial 3 (the first had 0.8000): "
        "dropout 0.3"
    )
    assert made["best"]["hyperparameters"] == {"dropout": 0.3}
    with pytest.raises(TuningError, match=r"none of 1 trials .*trial 2 failed .*SIGKILL"):
        make(trials[1:2], SETTINGS, {})

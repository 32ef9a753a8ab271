"""Canaries that are really bad, on a real server with real traffic: they go back by themselves."""

import asyncio
import re

import pytest

from benchmarks import canaries, trial
from serving.rollout.plan import Plan, Step, Thresholds

STEPS = tuple(Step(percent, min_seconds=0.5, min_requests=30) for percent in (20, 50))


def plan(kind: str) -> Plan:
    """Little time for what is never in time; else more than a busy machine takes."""
    return Plan(
        steps=STEPS,
        thresholds=Thresholds(p99_ms=1000 if kind == "slow" else 60_000, slower_by=100),
        timeout_seconds=120,
        load_seconds=4 if kind == "broken" else 60,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Each kind of version as a SavedModel."""
    folder = tmp_path_factory.mktemp("models")
    kinds = ("stable", canaries.GOOD, *canaries.BAD)
    return {kind: canaries.save(folder / kind, kind, slow_seconds=1.1) for kind in kinds}


@pytest.fixture(scope="module")
def served(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with trial.serving(folder, folder, models["stable"]) as served:
        yield served


def run(served, model):
    timeout = 4 if model.name == "hanging" else 60
    return asyncio.run(trial.run(*served, model, plan(model.name), rate=100, timeout=timeout))


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("slow", "p99 is up to .* ms: 1000 ms are allowed"),
        ("wrong", "distributed otherwise than the stable version's: PSI of probability"),
        ("constant", "distributed otherwise than the stable version's: PSI of probability"),
        ("failing", "% errors"),
        ("hanging", "% errors"),
        ("nan", "of its answers are NaN or infinite"),
        ("broken", "the server has not loaded it after [45] s: .*saved_model.pb"),
    ],
)
def test_a_bad_canary_goes_back_by_itself(served, models, kind, why):
    before = served[1].stable().number
    outcome = run(served, models[kind])

    assert outcome.state == "quarantined"
    assert re.search(why, outcome.why), outcome.why
    assert served[1].traffic().labels() == {"stable": before}
    assert outcome.harmed < outcome.sent / 2 or not outcome.sent
    assert outcome.afterwards > 20
    assert outcome.afterwards_harmed == 0


def test_a_good_canary_becomes_stable(served, models):
    outcome = run(served, models[canaries.GOOD])

    assert outcome.state == "stable", outcome.why
    assert outcome.to_canary >= 60
    assert outcome.wrong == outcome.failed == 0
    assert outcome.afterwards_harmed == 0

"""Decisions are a pure function; these are its laws."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.releases.traffic import Traffic
from serving.rollout.decision import Evidence, Trial, decide
from serving.rollout.plan import Plan, Step, Thresholds
from serving.rollout.tally import Tally

PLAN = Plan(
    steps=tuple(Step(p, min_seconds=60, min_requests=100) for p in (1, 10, 50)),
    timeout_seconds=600,
    load_seconds=120,
    grace_seconds=30,
)
EDGES = (0.01, 0.05, 0.1, math.inf)


def tally(requests=1000, errors=0, seconds=0.008, client_errors=0, slow=0, invalid=0) -> Tally:
    good = requests - errors - client_errors
    buckets = {
        edge: float((good if edge >= seconds else 0) - (slow if edge < 0.1 else 0))
        for edge in EDGES
    }
    total = errors + client_errors
    return Tally(requests, total, client_errors, invalid, good * seconds, buckets)


GOOD = Evidence(tally(), tally(), tally(), tally(), lasted=60.0)


def at(percent=10, state="canary") -> Trial:
    return Trial(2, state, percent)


def decided(evidence, lasted=60.0, percent=10, state="canary"):
    return decide(PLAN, at(percent, state), dataclasses.replace(evidence, lasted=lasted))


@pytest.mark.parametrize(("percent", "following"), [(1, 10), (10, 50), (50, 100), (5, 10)])
def test_good_numbers_lead_to_the_next_step(percent, following):
    decision = decided(GOOD, percent=percent)
    assert (decision.action, decision.percent) == ("advance", following)


@pytest.mark.parametrize(
    ("evidence", "lasted", "why"),
    [
        (GOOD, 59.0, "59 of 60 s"),
        (dataclasses.replace(GOOD, canary=tally(99)), 100.0, "99 of 100 requests"),
        (dataclasses.replace(GOOD, stable=tally(19)), 100.0, "19 of 20 requests to the stable"),
        (
            dataclasses.replace(GOOD, canary=Tally(1000), recent_canary=Tally()),
            100.0,
            "0 of 20 latencies",
        ),
        (dataclasses.replace(GOOD, missing="away", silent=25.0), 85.0, "no metrics for 25 s: away"),
    ],
)
def test_it_holds(evidence, lasted, why):
    decision = decided(evidence, lasted)
    assert decision.action == "hold"
    assert why in decision.why


BAD = {
    "11.00% errors: 1.00% are allowed": tally(errors=110),
    "p99 is up to 100 ms: 50 ms are allowed": tally(seconds=0.08),
    "p99 is up to inf ms": tally(seconds=3.0),
    "mean latency is 40.0 ms, the stable version's 8.0 ms": tally(seconds=0.04),
    "5.00% errors, the stable version has 0.00%": tally(client_errors=50),
    "0.10% of its answers are NaN or infinite": tally(invalid=1),
}


@pytest.mark.parametrize("why", BAD)
@pytest.mark.parametrize("field", ["canary", "recent_canary"])
def test_a_breach_in_the_step_or_its_latest_stretch_rolls_back(why, field):
    decision = decided(dataclasses.replace(GOOD, **{field: BAD[why]}), 1.0)
    assert decision.action == "roll back"
    assert why in decision.why


def test_the_budget_itself_is_kept_by_a_bucket_that_ends_there():
    both = tally(seconds=0.05)
    evidence = Evidence(both, both, both, both)
    assert decided(evidence).action == "advance"


def test_one_slow_request_in_a_hundred_is_not_more_than_the_99th():
    for slow, action in ((10, "advance"), (11, "roll back")):
        evidence = dataclasses.replace(GOOD, canary=tally(slow=slow), recent_canary=Tally())
        assert decided(evidence).action == action


def test_two_bad_requests_hold_and_three_roll_back():
    """On a busy machine one request in twenty may be slow for no fault of the version."""
    for name in ("errors", "slow"):
        for count, lasted, action in (
            (2, 60.0, "hold"),
            (2, 601.0, "roll back"),
            (3, 1.0, "roll back"),
        ):
            evidence = dataclasses.replace(
                GOOD, canary=tally(120, **{name: count}), recent_canary=Tally()
            )
            assert decided(evidence, lasted).action == action, (name, count, lasted)


def test_one_stall_in_a_hundred_requests_is_not_a_slow_version():
    plan = dataclasses.replace(PLAN, thresholds=Thresholds(p99_ms=1000))
    stable = Tally(9900, seconds=9900 * 0.004, buckets={0.005: 9900.0, 1.0: 9900.0, math.inf: 9900})
    stalled = Tally(
        100, seconds=99 * 0.004 + 0.6, buckets={0.005: 99.0, 1.0: 100.0, math.inf: 100.0}
    )
    slow = Tally(100, seconds=100 * 0.01, buckets={0.005: 0.0, 0.01: 100.0, math.inf: 100.0})
    assert stalled.mean_ms > slow.mean_ms - 1 > 2 * stable.mean_ms
    for canary, action in ((stalled, "advance"), (slow, "roll back")):
        assert decide(plan, at(), Evidence(canary, stable, lasted=60.0)).action == action


def test_the_means_error_is_not_less_than_the_truth():
    seconds = np.random.default_rng(1).lognormal(-5, 1, 400)
    edges = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, math.inf)
    buckets = {edge: float(np.sum(seconds <= edge)) for edge in edges}
    error = Tally(400, seconds=seconds.sum(), buckets=buckets).mean_error_ms
    truth = seconds.std() / 20 * 1000
    assert truth <= error < 3 * truth
    assert Tally().mean_error_ms == 0


def test_nonsense_that_clients_send_to_both_is_not_the_versions_fault():
    both = tally(client_errors=300)
    evidence = Evidence(both, both, both, both)
    assert decided(evidence).action == "advance"


@pytest.mark.parametrize(
    ("evidence", "lasted", "why"),
    [
        (dataclasses.replace(GOOD, missing="away", silent=31.0), 91.0, "no metrics for 31 s: away"),
        (Evidence(missing="away", silent=31.0), 31.0, "no metrics for 31 s: away"),
        (dataclasses.replace(GOOD, canary=tally(99)), 601.0, "after 601 s only 99 of 100"),
        (dataclasses.replace(GOOD, stable=Tally()), 601.0, "0 of 20 requests to the stable"),
    ],
)
def test_silence_rolls_back(evidence, lasted, why):
    decision = decided(evidence, lasted)
    assert decision.action == "roll back"
    assert why in decision.why


@pytest.mark.parametrize(
    ("state", "evidence", "lasted", "action", "percent"),
    [
        ("staged", Evidence(), 1.0, "advance", 0),
        ("staged", Evidence(missing="away"), 1e9, "hold", 0),
        ("available", Evidence(), 0.0, "advance", 1),
        ("available", Evidence(not_loaded="LOADING"), 120.0, "hold", 0),
        ("available", Evidence(not_loaded="LOADING"), 121.0, "roll back", 0),
        ("available", Evidence(missing="away"), 10.0, "hold", 0),
        ("available", Evidence(missing="away"), 121.0, "roll back", 0),
    ],
)
def test_before_there_is_traffic(state, evidence, lasted, action, percent):
    decision = decided(evidence, lasted, 0, state)
    assert (decision.action, decision.percent) == (action, percent)


counts = st.integers(0, 500)


@st.composite
def tallies(draw):
    requests = draw(counts)
    errors = draw(st.integers(0, requests))
    client = draw(st.integers(0, errors))
    edges = [0.01, 0.05, 0.1]
    counted = sorted(draw(st.lists(st.integers(0, requests - errors), min_size=3, max_size=3)))
    buckets = dict(zip(edges, map(float, counted), strict=True))
    buckets[math.inf] = float(requests - errors)
    return Tally(requests, errors, client, draw(st.integers(0, 3)), draw(counts) / 10, buckets)


@given(
    st.builds(
        Evidence,
        tallies(),
        tallies(),
        tallies(),
        tallies(),
        st.floats(0, 5000),
        st.floats(0, 2000),
        st.sampled_from(["", "away"]),
        st.sampled_from(["", "LOADING"]),
    ),
    st.sampled_from([("staged", 0), ("available", 0), ("canary", 1), ("canary", 50)]),
)
def test_laws_of_every_decision(evidence, standing):
    state, percent = standing
    decision = decide(PLAN, at(percent, state), evidence)

    assert decision.why
    assert decision == decide(PLAN, at(percent, state), evidence)
    if state == "staged":
        assert decision.action != "roll back"
    if state == "canary" and decision.action == "advance":
        assert decision.percent > percent
        assert evidence.lasted >= 60
        assert not evidence.missing
        assert evidence.canary.requests >= 100
        assert evidence.stable.requests >= 20
        assert evidence.canary.fault_share <= 0.01
        assert evidence.canary.quantile_ms(0.99) <= 50.0001
        assert not evidence.canary.invalid
    if state == "canary" and decision.action == "hold":
        assert evidence.lasted <= 600 or evidence.missing


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Step(0), "percent is 0"),
        (lambda: Step(100), "percent is 100"),
        (lambda: Step(1, min_requests=0), "min_requests is 0"),
        (lambda: Step(1, min_seconds=-1), "min_seconds is -1"),
        (lambda: Plan(steps=()), "rising"),
        (lambda: Plan(steps=(Step(10), Step(1))), r"\[10, 1\]"),
        (lambda: Plan(timeout_seconds=60), "timeout_seconds is 60: expected more"),
        (lambda: Plan(grace_seconds=0), "grace_seconds is 0"),
        (lambda: Thresholds(p99_ms=math.nan), "p99_ms is nan"),
        (lambda: Thresholds(error_share=2), "error_share is 2"),
        (lambda: Thresholds(judge_after=0), "judge_after is 0"),
        (lambda: Thresholds(events=0), "events is 0"),
        (lambda: Traffic(1, None, 5), "there is no canary"),
        (lambda: Traffic(1, 2, 101), "percent is 101"),
    ],
)
def test_a_plan_without_sense_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@given(st.integers(0, 100))
def test_traffic_is_split_as_it_says(percent):
    traffic = Traffic(1, 2, percent)
    to_canary = sum(traffic.choose(draw / 1000) == 2 for draw in range(1000))
    assert abs(to_canary - percent * 10) <= 1
    assert Traffic(1).choose(0.0) == 1

"""Trials against a real server of metrics, whose numbers turn bad."""

import dataclasses
import datetime
import json
import logging
import os
import re
import signal
import time
from unittest import mock

import pytest

from serving.releases import ReleaseError, Releases
from serving.rollout import observation
from serving.rollout.controller import Controller, alone
from serving.rollout.plan import Plan, Step, Thresholds
from serving.rollout.sources import EMBEDDED, Page, not_loaded

PLAN = Plan(
    steps=tuple(Step(percent, min_seconds=4, min_requests=50) for percent in (1, 10, 50)),
    timeout_seconds=120,
    load_seconds=10,
    grace_seconds=6,
    window_seconds=5,
)


class Clock:
    """Time that passes only while the controller sleeps, for the record too."""

    def __init__(self) -> None:
        self.began = self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now - self.began > 500:
            raise AssertionError("the trial does not end")


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    utc = datetime.timezone.utc
    now = lambda: datetime.datetime.fromtimestamp(clock.now, utc)  # noqa: E731
    monkeypatch.setattr("serving.releases.record._now", now)
    return clock


def controller(releases, server, clock, plan=PLAN) -> Controller:
    page = Page(f"{server}/monitoring/prometheus/metrics", EMBEDDED, "plant", timeout=60)
    return Controller(releases, page, plan, lambda n: not_loaded(server, "plant", n), clock)


def run(releases, server, clock, during=lambda turn: None, plan=PLAN):
    turns = []
    for turn in controller(releases, server, clock, plan).turns(1.0, sleep=clock.sleep):
        turns.append(turn)
        during(turn)
    return turns


def test_a_good_version_becomes_stable_step_by_step(releases, server, users, clock):
    turns = run(releases, server, clock)

    assert releases.traffic().labels() == {"stable": 2}
    assert [turn.decision.percent for turn in turns if turn.done] == [0, 1, 10, 50, 100]
    history = releases.history()[2:]
    assert [event["what"] for event in history] == [
        "available",
        "canary",
        "canary",
        "canary",
        "stable",
    ]
    assert {event["by"] for event in history} == {"rollout"}
    last = history[-1]["numbers"]
    assert last["canary"]["requests"] >= 50
    assert last["canary"]["p99_ms"] == last["stable"]["p99_ms"] == 5.0
    assert not (releases.folder / observation.FILE).exists()


def slow(users):
    users.seconds[2] = 0.08


def slower_than_stable(users):
    users.seconds[2] = 0.03


def failing(users):
    users.errors[2] = 10


def answers_nan(users):
    users.invalid[2] = 5


def shifted(users):
    users.answers[2] = lambda right: right + 0.2


def constant(users):
    users.answers[2] = lambda right: right * 0 + 0.1


def missing(users):
    users.status = 500


def empty(users):
    users.page = lambda text: ""


def garbage(users):
    users.page = lambda text: "<html>maintenance</html>\n"


def nan(users):
    users.page = lambda text: "\n".join(
        line.rsplit(" ", 1)[0] + " NaN" if 'version="2"' in line else line
        for line in text.splitlines()
    )


def vanished(users):
    users.page = lambda text: "\n".join(
        line for line in text.splitlines() if 'version="2"' not in line
    )


@pytest.mark.parametrize("percent", [1, 10, 50])
@pytest.mark.parametrize(
    ("turns_bad", "why"),
    [
        (slow, "p99 is up to 100 ms: 50 ms are allowed"),
        (slower_than_stable, "mean latency is"),
        (failing, "% errors"),
        (answers_nan, "% of its answers are NaN or infinite"),
        (shifted, r"distributed otherwise .*: PSI of probability is \d+\.\d\d, 0.25 is allowed"),
        (constant, "distributed otherwise than the stable version's"),
        (missing, "no metrics for [67] s: .*500"),
        (empty, "no metrics for [67] s: no serving_request_seconds_count of plant"),
        (garbage, "no metrics for [67] s: "),
        (nan, "no metrics for [67] s: .* is nan"),
        (vanished, "no metrics for [67] s: version 2 is no longer"),
    ],
)
def test_a_version_that_turns_bad_is_rolled_back(
    releases, server, users, clock, turns_bad, why, percent
):
    def during(turn):
        if turn.trial.percent == percent and turn.evidence.canary.requests >= 20:
            turns_bad(users)

    turns = run(releases, server, clock, during)

    assert releases.traffic().labels() == {"stable": 1}
    assert releases.served() == [1]
    status = releases.statuses()[2]
    assert status.state == "quarantined"
    assert re.search(why, status.why), status.why
    rollback = releases.history()[-1]
    assert (rollback["what"], rollback["version"]) == ("rollback", 2)
    assert rollback["numbers"]["canary"]["requests"] >= 20
    assert turns[-1].done


def test_answers_may_be_left_uncompared(releases, server, users, clock):
    shifted(users)
    plan = dataclasses.replace(PLAN, thresholds=Thresholds(compare_answers=False))
    run(releases, server, clock, plan=plan)
    assert releases.traffic().labels() == {"stable": 2}
    assert releases.history()[-1]["numbers"]["psi"] > 1


def test_bad_late_in_a_long_step_is_seen_in_the_latest_stretch(releases, server, users, clock):
    steps = (Step(10, min_seconds=100, min_requests=50),)
    plan = Plan(steps, timeout_seconds=200, window_seconds=5)

    def during(turn):
        if turn.evidence.canary.requests > 9000:
            users.errors[2] = 60

    turns = run(releases, server, clock, during, plan)

    assert releases.statuses()[2].state == "quarantined"
    evidence = turns[-1].evidence
    assert evidence.canary.fault_share < 0.005 < evidence.recent_canary.fault_share


def test_a_version_that_does_not_load_is_rolled_back(releases, server, users, clock):
    users.available = {1}
    run(releases, server, clock)

    why = releases.statuses()[2].why
    assert re.fullmatch(r"the server has not loaded it after 1[01] s: LOADING", why)
    assert users.sent.keys() == {1}


def test_without_traffic_a_trial_times_out(releases, server, users, clock):
    def during(turn):
        if turn.trial.percent == 1:
            users.per_scrape = 0

    run(releases, server, clock, during)
    assert re.search(r"after 12\d s only \d+ of 50 requests", releases.statuses()[2].why)


@pytest.mark.parametrize("jump", [8 * 3600.0, -3600.0])
def test_a_clock_that_is_set_and_a_machine_that_sleeps(releases, server, users, clock, jump):
    """No time-out runs out while nobody looks, and none runs for ever."""

    def during(turn):
        if turn.trial.percent == 1 and len(turns) < 6:
            turns.append(turn)
            users.per_scrape = 100
            if len(turns) == 3:
                clock.now += jump
                clock.began += jump
                users.status = 500
            else:
                users.status = 200

    turns = []
    run(releases, server, clock, during, dataclasses.replace(PLAN, timeout_seconds=1000))
    assert releases.traffic().labels() == {"stable": 2}


def test_a_trial_does_not_begin_blind(releases, server, users, clock):
    users.status = 500
    one = controller(releases, server, clock)
    for _ in range(3):
        turn = one.once()
        clock.sleep(100)
    assert turn.decision.why.startswith("waits for metrics")
    assert releases.statuses()[2].state == "staged"


def test_a_server_that_restarts_is_no_breach_and_loses_nothing(releases, server, users, clock):
    def during(turn):
        if turn.trial.percent == 10 and turn.evidence.canary.requests >= 200:
            users.restart()

    turns = run(releases, server, clock, during)
    assert releases.traffic().labels() == {"stable": 2}
    counts = [t.evidence.canary.requests for t in turns if t.trial.percent == 10]
    assert counts == sorted(counts)


def test_every_look_may_be_by_another_process(releases, server, users, clock):
    """As cron does it, and as a controller that is killed between any two looks."""
    steps = 0
    while releases.trial():
        fresh = controller(Releases(releases.folder), server, clock)
        steps += fresh.once() is not None
        clock.sleep(1.0)
    assert releases.traffic().labels() == {"stable": 2}
    assert steps > 5


@pytest.mark.parametrize(
    "moment", ["serving.rollout.observation.save", "serving.rollout.controller.decide"]
)
def test_a_killed_controller_goes_on_from_the_record(releases, server, users, clock, moment):
    while releases.traffic().percent != 10:
        controller(releases, server, clock).once()
        clock.sleep(1.0)
    child = os.fork()
    if child == 0:
        with mock.patch(moment, lambda *_: os.kill(os.getpid(), signal.SIGKILL)):
            controller(releases, server, clock).once()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert releases.traffic().percent == 10

    users.seconds[2] = 0.08
    run(releases, server, clock)
    assert releases.statuses()[2].state == "quarantined"


def test_a_person_who_is_quicker_wins(releases, server, users, clock):
    one = controller(releases, server, clock)
    for _ in range(3):
        one.once()
    assert releases.traffic().percent == 1
    users.errors[2] = 2
    read = one._source.read

    def promoted_meanwhile():
        reading = read()
        if releases.traffic().stable == 1:
            releases.promote(2, "I know better")
        return reading

    one._source.read = promoted_meanwhile
    users.per_scrape = 10_000
    turn = one.once()

    assert (turn.decision.action, turn.done) == ("roll back", False)
    assert releases.traffic().labels() == {"stable": 2}


def test_one_controller_at_a_time(releases):
    another = pytest.raises(ReleaseError, match="another rollout")
    with alone(releases.folder), another, alone(releases.folder):
        pass
    with alone(releases.folder):
        pass


def test_each_transition_is_one_structured_line(releases, server, users, clock, caplog):
    caplog.set_level(logging.INFO, "serving.releases")
    run(releases, server, clock)
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [entry["what"] for entry in lines] == ["available", *["canary"] * 3, "stable"]
    assert lines[2]["traffic"] == {"stable": 1, "canary": 2, "percent": 10}
    assert lines[2]["numbers"]["canary"]["errors"] == 0


def test_a_broken_observation_is_begun_anew(releases, server, users, clock):
    def during(turn):
        (releases.folder / observation.FILE).write_text('{"step": 3')
        during.calls += 1
        if during.calls == 8:
            releases.rollback("enough")

    during.calls = 0
    run(releases, server, clock, during)
    assert releases.traffic().labels() == {"stable": 1}

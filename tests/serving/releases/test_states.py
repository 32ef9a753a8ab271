"""The states of versions: whatever is done in whatever order, users are served one good version."""

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from serving.releases import ReleaseError, Releases
from serving.releases.record import parse, render

NUMBERS = st.integers(1, 8)
PERCENTS = st.sampled_from([0, 1, 10, 50, 100])


def saved_model(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_text(content)
    return folder


class Trials(RuleBasedStateMachine):
    """Pushes, trials, rollbacks, promotions and prunes in any order, on a real folder."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.events: list[dict] = []
        self.releases = Releases(self.root / "model", hooks=[self.events.append])
        self.pushed = 0
        self.quarantined: set[int] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(rollout=st.sampled_from(["at_once", "canary"]), keep=st.integers(1, 4))
    def push(self, rollout, keep):
        self.pushed += 1
        model = saved_model(self.root / "candidate", str(self.pushed))
        served = set(self.releases.served())
        done = self.releases.push(model, {}, keep, "blessed", rollout=rollout)
        assert done.created
        assert not set(self.releases.served()) & set(done.pruned)
        assert done.state == ("staged" if rollout == "canary" and served else "stable")

    @rule(number=NUMBERS)
    def push_the_same_again(self, number):
        status = self.releases.statuses().get(number)
        if status is None or number > self.pushed:
            return
        model = saved_model(self.root / "candidate", str(number))
        stable = self.releases.traffic()
        done = self.releases.push(model, {}, 8, "again")
        assert (done.version, done.created, done.state) == (number, False, status.state)
        assert self.releases.traffic() == stable

    @rule(number=NUMBERS, percent=PERCENTS)
    def advance(self, number, percent):
        before = self.releases.statuses().get(number)
        try:
            self.releases.advance(number, percent, "good", "test", {"p99_ms": 5})
        except ReleaseError:
            assert self.releases.statuses().get(number) == before
        else:
            assert before.state in ("staged", "available", "canary")

    @rule(number=st.none() | NUMBERS)
    def rollback(self, number):
        before = self.releases.statuses()
        try:
            bad = self.releases.rollback("slow", number=number)
        except ReleaseError:
            assert self.releases.statuses() == before
        else:
            self.quarantined.add(bad)

    @rule(number=NUMBERS, why=st.sampled_from(["", "it was the network"]))
    def promote(self, number, why):
        try:
            self.releases.promote(number, why)
        except ReleaseError:
            known = number in {version.number for version in self.releases.versions()}
            assert not known or (number in self.quarantined and not why)
        else:
            self.quarantined.discard(number)

    @rule(keep=st.integers(1, 4))
    def prune(self, keep):
        served = self.releases.served()
        gone = self.releases.prune(keep)
        assert not set(served) & set(gone)
        assert self.releases.served() == served

    @invariant()
    def one_is_stable_from_the_first_push_on(self):
        stable = [n for n, s in self.releases.statuses().items() if s.state == "stable"]
        assert len(stable) == (1 if self.pushed else 0)
        traffic = self.releases.traffic()
        assert (traffic.stable if traffic else None) == (stable[0] if stable else None)

    @invariant()
    def what_is_quarantined_is_not_served(self):
        statuses = self.releases.statuses()
        assert {n for n, s in statuses.items() if s.state == "quarantined"} == self.quarantined
        assert not self.quarantined & set(self.releases.served())
        traffic = self.releases.traffic()
        if traffic:
            assert not self.quarantined & set(traffic.labels().values())
        before = self.releases.before()
        assert before is None or before.number not in self.quarantined

    @invariant()
    def one_at_most_is_on_trial_and_it_is_served(self):
        statuses = self.releases.statuses()
        trials = [n for n, s in statuses.items() if s.state in ("available", "canary")]
        assert len(trials) <= 1
        assert set(trials) <= set(self.releases.served())
        for number in trials:
            assert (statuses[number].percent > 0) == (statuses[number].state == "canary")

    @invariant()
    def the_record_reads_as_it_was_written(self):
        path = self.releases.folder / "releases.json"
        if path.exists():
            record = parse(path.read_text())
            assert parse(render(record)) == record

    @invariant()
    def every_event_was_told_once_and_in_order(self):
        history = self.releases.history()
        told = [{k: v for k, v in e.items() if k not in ("model", "traffic")} for e in self.events]
        assert told == history


TestTrials = Trials.TestCase
TestTrials.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def trial(folder: Path) -> Releases:
    """Version 1 retired, 2 stable, 3 a canary at 10 %, 4 staged."""
    releases = Releases(folder / "model")
    for number in (1, 2):
        releases.push(saved_model(folder / "m", str(number)), {}, 9, "blessed")
    for number in (3, 4):
        releases.push(saved_model(folder / "m", str(number)), {}, 9, "blessed", rollout="canary")
    for percent in (0, 10):
        releases.advance(3, percent, "good", "test", {})
    return releases


CHANGES = {
    "rollback": lambda releases, _: releases.rollback("slow"),
    "rollback of stable": lambda releases, _: releases.rollback("slow", number=2),
    "next step": lambda releases, _: releases.advance(3, 50, "good", "test", {}),
    "stable": lambda releases, _: releases.advance(3, 100, "good", "test", {}),
    "promote": lambda releases, _: releases.promote(1, "known to work"),
    "prune": lambda releases, _: releases.prune(1),
    "push": lambda releases, model: releases.push(model, {}, 9, "blessed", rollout="canary"),
}
MOMENTS = [
    "serving.folders.os.fsync",
    "pathlib.Path.replace",
    "pathlib.Path.rename",
    "serving.folders.sync_folder",
    "serving.releases.store.json.dumps",
    "serving.releases.versions.shutil.rmtree",
]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_killed_at_any_moment_has_happened_or_not(tmp_path, change, moment):
    releases = trial(tmp_path)
    model = saved_model(tmp_path / "new", "new")
    before = releases.statuses()
    child = os.fork()
    if child == 0:
        with mock.patch(moment, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)):
            with contextlib.suppress(BaseException):
                CHANGES[change](releases, model)
            os._exit(0)
    os.waitpid(child, 0)

    left = releases.statuses()
    traffic = releases.traffic()
    assert set(releases.served()) <= {version.number for version in releases.versions()}
    assert left[traffic.stable].state == "stable"

    if left == before:
        CHANGES[change](releases, model)
    else:
        releases.prune(9)
    expected = {
        "rollback": (2, None, 0),
        "rollback of stable": (1, None, 0),
        "next step": (2, 3, 50),
        "stable": (3, None, 0),
        "promote": (1, None, 0),
        "prune": (2, 3, 10),
        "push": (2, 3, 10),
    }[change]
    traffic = releases.traffic()
    assert (traffic.stable, traffic.canary, traffic.percent) == expected
    assert (releases.statuses().get(5) is not None) == (change == "push")
    hidden = {path.name for path in releases.folder.iterdir() if path.name.startswith(".")}
    assert hidden == {".lock", ".push"}


def test_a_trial_from_push_to_stable(tmp_path):
    releases = trial(tmp_path)

    assert releases.served() == [1, 2, 3]
    assert releases.traffic().labels() == {"stable": 2, "canary": 3}
    releases.advance(3, 50, "good", "test", {"p99_ms": 9.5})
    releases.advance(3, 100, "good", "test", {})

    assert releases.traffic().labels() == {"stable": 3}
    assert releases.served() == [2, 3]
    assert releases.trial()[0] == 4
    step = releases.history()[-2]
    assert (step["what"], step["from"], step["to"]) == ("canary", "canary", "canary")
    assert (step["percent"], step["numbers"], step["by"]) == (50, {"p99_ms": 9.5}, "test")


def test_a_second_version_waits_for_the_first(tmp_path):
    releases = trial(tmp_path)
    with pytest.raises(ReleaseError, match="version 4 cannot be on trial: version 3 is"):
        releases.advance(4, 0, "", "test", {})
    releases.rollback("slow")
    releases.advance(4, 0, "next", "test", {})
    assert releases.served() == [1, 2, 4]


def test_a_share_only_rises_and_100_is_stable(tmp_path):
    releases = trial(tmp_path)
    for percent in (10, 5, 100 + 1):
        with pytest.raises(ReleaseError, match="has 10 % of the traffic: expected more"):
            releases.advance(3, percent, "", "test", {})


def test_a_rolled_back_version_is_known_even_after_its_folder_went(tmp_path):
    releases = trial(tmp_path)
    releases.rollback("wrong answers")
    for number in (5, 6):
        releases.push(saved_model(tmp_path / "m", str(number)), {}, 1, "blessed")
    assert not (releases.folder / "3").exists()

    again = releases.push(saved_model(tmp_path / "m", "3"), {}, 9, "blessed")

    assert (again.version, again.created, again.state) == (3, False, "quarantined")
    assert again.why == "wrong answers"
    assert releases.traffic().stable == 6


def test_a_controller_that_comes_too_late_changes_nothing(tmp_path):
    releases = trial(tmp_path)
    releases.rollback("a person saw it first")
    with pytest.raises(ReleaseError, match="quarantined because a person saw it first"):
        releases.advance(3, 50, "good", "controller", {})
    with pytest.raises(ReleaseError, match="quarantined"):
        releases.rollback("slow", number=3)


def test_a_failing_hook_stops_nothing_and_the_next_is_told(tmp_path, caplog):
    told = []

    def broken(event):
        raise OSError("registry away")

    releases = Releases(trial(tmp_path).folder, hooks=[broken, told.append])
    releases.rollback("slow", numbers={"p99_ms": 80.0})

    (event,) = told
    assert (event["what"], event["version"], event["model"]) == ("rollback", 3, "model")
    assert event["traffic"] == {"stable": 2, "canary": None, "percent": 0}
    assert event["numbers"] == {"p99_ms": 80.0}
    assert "registry away" in caplog.text


def test_a_rollback_does_not_wait_for_a_push_that_copies(tmp_path):
    releases = trial(tmp_path)
    with releases._store.locked(".push"):
        assert releases.rollback("slow") == 3


def test_nothing_to_roll_back(tmp_path):
    releases = Releases(tmp_path / "model")
    with pytest.raises(ReleaseError, match="nothing serves"):
        releases.rollback("?")
    releases.push(saved_model(tmp_path / "m", "1"), {}, 9, "blessed")
    with pytest.raises(ReleaseError, match="no version served before 1"):
        releases.rollback("?")
    assert releases.traffic().stable == 1

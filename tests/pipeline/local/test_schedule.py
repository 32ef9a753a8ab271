"""Which stage begins and publishes when, and what a failure does to the others."""

import multiprocessing
from collections.abc import Callable, Collection

import pytest

from pipeline.local.schedule import Schedule
from pipeline.local.stage import Stage, Task


class Scripted:
    """A stage that ends when the test says so."""

    def __init__(self, node: str, heard: Callable[[], None]) -> None:
        self.node = node
        self._heard = heard
        self.connection, self._theirs = multiprocessing.Pipe()
        self.allowed = False

    def end(self, state: str = "done") -> None:
        self._theirs.send(Stage(self.node, state, error="no" * (state == "failed")))

    def receive(self) -> str | Stage:
        told = self.connection.recv()
        self._heard()
        return told

    def allow(self) -> None:
        self.allowed = True

    def stop(self) -> Stage:
        return Stage(self.node, "stopped")


class Play:
    """Runs a schedule whose stages end by a script: (begun stages, then what happens next)."""

    def __init__(self, tasks: dict[str, str], at_once: int, **more: Collection[str]) -> None:
        ahead = more.pop("ahead", ())
        self.told: list[tuple[str, str]] = []
        self.running: dict[str, Scripted] = {}
        self._steps: list[tuple[set[str], str, str]] = []
        made = []
        for node, before in tasks.items():
            after = frozenset(before.split())
            inputs = frozenset(b for b in after if b != "Gate") if node in ahead else after
            made.append(Task(node, inputs, after))
        self._schedule = Schedule(made, self._start, self._observe, self._progress, at_once, **more)

    def _start(self, node: str) -> Scripted:
        self.running[node] = Scripted(node, self._act)
        self._act()
        return self.running[node]

    def _observe(self, stage: Stage) -> None:
        self.told.append((stage.node, stage.state))
        if stage.state != "running":
            self.running.pop(stage.node, None)
            self._act()

    def _progress(self, node: str, text: str) -> None:
        self.told.append((node, text))
        self._act()

    def _act(self) -> None:
        """Ends the stage of the next step once exactly those run that the step names."""
        if self._steps and set(self.running) == self._steps[0][0]:
            _, node, state = self._steps.pop(0)
            self.running[node].end(state)

    def run(self, *steps: tuple[str, str, str]) -> Stage | None:
        self._steps = [(set(running.split()), node, state) for running, node, state in steps]
        failed = self._schedule.run()
        assert not self._steps, f"never came to {self._steps}, but {self.told}"
        return failed


READ = {"Sql": "", "Sensor": "", "Join": "Sql Sensor"}
GATED = {"Join": "", "Gate": "Join", "Transform": "Join Gate", "Train": "Transform"}


def test_stages_that_wait_for_nothing_run_at_once() -> None:
    play = Play(READ, 2)
    failed = play.run(
        ("Sql Sensor", "Sensor", "done"), ("Sql", "Sql", "cached"), ("Join", "Join", "done")
    )
    assert failed is None
    assert play.told == [
        ("Sql", "running"),
        ("Sensor", "running"),
        ("Sensor", "done"),
        ("Sql", "cached"),
        ("Join", "running"),
        ("Join", "done"),
    ]


def test_one_at_a_time_keeps_the_order() -> None:
    play = Play(READ, 1)
    assert (
        play.run(("Sql", "Sql", "done"), ("Sensor", "Sensor", "done"), ("Join",) * 2 + ("done",))
        is None
    )
    assert [node for node, state in play.told if state == "running"] == list(READ)


def test_after_a_failure_nothing_begins_and_what_runs_ends() -> None:
    play = Play(READ, 2)
    failed = play.run(("Sql Sensor", "Sql", "failed"), ("Sensor", "Sensor", "done"))
    assert failed == Stage("Sql", "failed", error="no")
    assert play.told[-1] == ("Sensor", "done")
    assert ("Join", "running") not in play.told


def test_the_failure_that_is_told_is_the_first() -> None:
    play = Play(READ, 2)
    failed = play.run(("Sql Sensor", "Sensor", "failed"), ("Sql", "Sql", "failed"))
    assert failed is not None
    assert failed.node == "Sensor"


def test_skipped_stages_are_waited_for_no_more() -> None:
    play = Play({"Join": "Sql Sensor"}, 2, done=["Sql", "Sensor"])
    assert play.run(("Join", "Join", "done")) is None


def test_a_stage_works_ahead_of_its_gate_but_publishes_after_it() -> None:
    play = Play(GATED, 2, ahead=["Transform"])
    allowed: list[bool] = []
    transform: list[Scripted] = []

    def observe(stage: Stage) -> None:
        if stage == Stage("Gate", "done"):
            transform.append(play.running["Transform"])
            allowed.append(transform[0].allowed)
        Play._observe(play, stage)

    play._schedule._observe = observe
    failed = play.run(
        ("Join", "Join", "done"),
        ("Gate Transform", "Gate", "done"),
        ("Transform", "Transform", "done"),
        ("Train", "Train", "done"),
    )
    assert failed is None
    assert allowed == [False]
    assert transform[0].allowed


@pytest.mark.parametrize("early", ["failed", "cached", None])
def test_a_gate_stops_what_works_ahead_of_it(early: str | None) -> None:
    """Whatever became of it by then: the gate's word is the one that is told."""
    play = Play(GATED, 2, ahead=["Transform"])
    steps = [("Join", "Join", "done"), ("Gate Transform", "Gate", "failed")]
    if early:
        # What it ends with is held back: for who watches, it still runs.
        steps.insert(1, ("Gate Transform", "Transform", early))
    failed = play.run(*steps)
    assert failed is not None
    assert failed.node == "Gate"
    assert play.told[-2:] == [("Gate", "failed"), ("Transform", "stopped")]


@pytest.mark.parametrize("early", ["failed", "cached"])
def test_what_ended_before_its_gate_counts_after_it(early: str) -> None:
    play = Play(GATED, 2, ahead=["Transform"])
    steps = [
        ("Join", "Join", "done"),
        ("Gate Transform", "Transform", early),
        ("Gate Transform", "Gate", "done"),
    ]
    if early == "cached":
        steps.append(("Train", "Train", "done"))
    failed = play.run(*steps)
    assert (failed and failed.node) == ("Transform" if early == "failed" else None)
    assert play.told.index(("Gate", "done")) < play.told.index(("Transform", early))


def test_one_at_a_time_nothing_works_ahead() -> None:
    """It would hold the only place that its gate could run in."""
    play = Play(GATED, 1, ahead=["Transform"])
    order = ["Join", "Gate", "Transform", "Train"]
    assert play.run(*((node, node, "done") for node in order)) is None
    assert [node for node, state in play.told if state == "running"] == order

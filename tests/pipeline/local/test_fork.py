"""Stages in processes of their own, without TFX."""

import gc
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import wait

import pytest

from pipeline.local.fork import Fork, Link
from pipeline.local.schedule import Schedule
from pipeline.local.stage import Stage, Task

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux only")


def outcome(fork: Fork) -> list[str | Stage]:
    told: list[str | Stage] = []
    while not (told and isinstance(told[-1], Stage)):
        assert wait([fork.connection], 60)
        told.append(fork.receive())
    return told


def test_it_tells_progress_and_its_end() -> None:
    def work(link: Link) -> Stage:
        link.tell("epoch 1 of 2")
        return Stage("Trainer", "done", 1.5, text=str(os.getpid()))

    progress, stage = outcome(Fork("Trainer", work))
    assert progress == "epoch 1 of 2"
    assert isinstance(stage, Stage)
    assert (stage.state, stage.seconds) == ("done", 1.5)
    assert stage.text != str(os.getpid())


def test_the_collector_leaves_what_was_there_alone() -> None:
    def work(link: Link) -> Stage:
        return Stage("Trainer", "done", text=str(gc.get_freeze_count()))

    (stage,) = outcome(Fork("Trainer", work))
    assert isinstance(stage, Stage)
    assert int(stage.text) > 0.9 * len(gc.get_objects())
    assert not gc.get_freeze_count()


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGKILL, "SIGKILL: the machine may have run out of memory"),
        (signal.SIGTERM, "SIGTERM"),
    ],
)
def test_one_that_is_killed_fails_with_the_signal(number: int, told: str) -> None:
    def work(link: Link) -> Stage:
        os.kill(os.getpid(), number)
        time.sleep(60)
        return Stage("Trainer", "done")

    (stage,) = outcome(Fork("Trainer", work))
    assert isinstance(stage, Stage)
    assert (stage.node, stage.state) == ("Trainer", "failed")
    assert stage.error == f"its process was ended by {told}"


def test_one_that_leaves_fails() -> None:
    def work(link: Link) -> Stage:
        os._exit(3)

    (stage,) = outcome(Fork("Trainer", work))
    assert isinstance(stage, Stage)
    assert stage.error == "its process ended without a word (code 3)"


def test_it_waits_until_it_may_publish() -> None:
    def work(link: Link) -> Stage:
        link.tell("made")
        link.wait_until_allowed()
        return Stage("Transform", "done")

    fork = Fork("Transform", work)
    assert wait([fork.connection], 60)
    assert fork.receive() == "made"
    assert not wait([fork.connection], 0.2)
    fork.allow()
    assert outcome(fork) == [Stage("Transform", "done")]


def test_one_that_was_stopped_is_gone() -> None:
    def work(link: Link) -> Stage:
        link.tell(str(os.getpid()))
        time.sleep(60)
        return Stage("Transform", "done")

    fork = Fork("Transform", work)
    process = int(str(fork.receive()))
    assert fork.stop().state == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_cached_stage_beside_a_running_one() -> None:
    """Each ends by itself, and what needs both begins after the later one."""
    told: list[tuple[str, str]] = []

    def start(node: str) -> Fork:
        def work(link: Link) -> Stage:
            if node == "Sensor":
                # Until the other one is told: it waits for what only the test's process can say.
                link.wait_until_allowed()
            return Stage(node, "cached" if node == "Sql" else "done")

        return Fork(node, work)

    tasks = [Task(n, frozenset(), frozenset()) for n in ("Sensor", "Sql")]
    both = frozenset(("Sensor", "Sql"))
    failed = Schedule(
        [*tasks, Task("Join", both, both)],
        start,
        lambda stage: told.append((stage.node, stage.state)),
        lambda node, text: None,
        2,
    ).run()
    assert failed is None
    assert told[-2:] == [("Join", "running"), ("Join", "done")]
    assert {("Sensor", "done"), ("Sql", "cached")} <= set(told[:-2])


_PARENT = """
import time
from pipeline.local.fork import Fork
from pipeline.local.stage import Stage

def work(link):
    link.tell("here")
    time.sleep(120)
    return Stage("Trainer", "done")

forks = [Fork(node, work) for node in ("Evaluator", "ServingGate")]
print(*(fork._process.pid for fork in forks if fork.receive()), flush=True)
time.sleep(120)
"""


def test_stages_end_with_the_process_that_started_them() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        processes = [int(number) for number in parent.stdout.readline().split()]
        assert len(processes) == 2
        parent.kill()
    deadline = time.monotonic() + 60
    while any(map(_runs, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

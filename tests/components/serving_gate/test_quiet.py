"""The load waits for the stages that run beside it, and they for the load."""

import fcntl
import pathlib
import threading

import pytest

from components.serving_gate.quiet import LOCK, quiet


def test_load_waits_for_other_stages(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "working"
    with path.open("w") as own, path.open("w") as other:
        for stage in (own, other):
            fcntl.flock(stage, fcntl.LOCK_SH)
        monkeypatch.setenv(LOCK, str(own.fileno()))
        begun = threading.Event()
        over = threading.Event()

        def measure() -> None:
            with quiet():
                begun.set()
                over.wait(60)

        thread = threading.Thread(target=measure)
        thread.start()
        assert not begun.wait(0.2)
        fcntl.flock(other, fcntl.LOCK_UN)
        assert begun.wait(60)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        over.set()
        thread.join()
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_alone_it_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCK, raising=False)
    with quiet():
        pass

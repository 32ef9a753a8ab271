import os
import pathlib

import pytest

HERE = str(pathlib.Path(__file__).parent)


@pytest.fixture(autouse=True)
def objectives_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By trials' processes too: some other package's `tests` may come before ours there."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)

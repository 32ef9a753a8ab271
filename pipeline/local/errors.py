"""The words of an error that reach people."""

import os
import pathlib
import re

from components.ingest import room

_PACKAGES = ("components", "pipeline", "serving", "trainer")
# The system's words, and SQLite's (ML Metadata).
_NO_ROOM = (*map(os.strerror, room.NO_ROOM), "database or disk is full")
_WHERE = re.compile(r" \[while running '.*")
_OURS = re.compile(
    rf"^(?:{'|'.join(_PACKAGES)})\.[\w.]+Error: (.+?)(?:{_WHERE.pattern})?$", re.MULTILINE
)


def message(error: BaseException, folder: pathlib.Path | None = None) -> str:
    """The words of an error that is told for people, however it was wrapped.

    Beam hands on what fails inside its workers as text, with a traceback before the words and the
    transform's name behind them. A full disk is told by many libraries, few of which say where.

    Args:
      error: what was raised.
      folder: where the run keeps its data, if it is a local one.
    """
    text = _words(error)
    if any(said in text for said in _NO_ROOM) and "run.directory" not in text:
        where = f" ({folder}: {room.free(str(folder))})" if folder else ""
        text += f"{where}. Make room on the disk, or let run.directory in the settings name another"
    return text


def _words(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__module__.split(".")[0] in _PACKAGES:
            return _WHERE.sub("", str(seen))
        seen = seen.__cause__ or seen.__context__
    told = _OURS.findall(str(error))
    return str(told[-1]) if told else f"{type(error).__name__}: {error}"

"""The words of an error that reach people."""

import errno
import os
import re

_PACKAGES = ("components", "pipeline", "serving", "trainer")
_OURS = re.compile(
    rf"^(?:{'|'.join(_PACKAGES)})\.[\w.]+Error: (.+?)(?: \[while running '.*)?$", re.MULTILINE
)


def message(error: BaseException) -> str:
    """The words of an error that is told for people, however it was wrapped.

    Beam hands on what fails inside its workers as text, with a traceback before the words and the
    transform's name behind them.
    """
    text = _words(error)
    if os.strerror(errno.ENOSPC) in text and "run.directory" not in text:
        text += ". Make room on the disk, or let run.directory in the settings name another one"
    return text


def _words(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__module__.split(".")[0] in _PACKAGES:
            return str(seen)
        seen = seen.__cause__ or seen.__context__
    told = _OURS.findall(str(error))
    return str(told[-1]) if told else f"{type(error).__name__}: {error}"

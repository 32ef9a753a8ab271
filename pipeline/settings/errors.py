"""Errors in settings, told so that the reader can mend them."""

from collections.abc import Iterable
from typing import NamedTuple

SHOWN = 10

Path = tuple[str | int, ...]
"""A place in the settings: keys and list positions from the top."""


def dotted(path: Path) -> str:
    """Writes a path as ``sources.telemetry.windows[0].size``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
      path: where it stands in the settings; empty for the whole file.
      message: what is wrong, what was expected and how to mend it. It goes after the path, with
        ``: `` between them unless it begins with a space.
      line: the line in the file, from 1, where one is known.
      column: the column in that line, from 1, where it helps.
    """

    path: Path
    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = dotted(self.path)
        if not place or self.message.startswith(" "):
            return f"{place}{self.message}"
        return f"{place}: {self.message}"


class SettingsError(Exception):
    """A settings file that can't be used.

    The message lists at most ten problems, in the file's order.

    Attributes:
      file: the file's name.
      problems: all of them.
    """

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems, key=lambda p: p.line or 0)
        super().__init__(self._message())

    def _message(self) -> str:
        def place(problem: Problem) -> str:
            line = f"line {problem.line}" if problem.line else ""
            return f"{line}, column {problem.column}" if problem.column else line

        if len(self.problems) == 1:
            only = self.problems[0]
            return f"{', '.join(filter(None, [self.file, place(only)]))}: {only}"
        shown = [
            f"  {place(problem)}: {problem}" if problem.line else f"  {problem}"
            for problem in self.problems[:SHOWN]
        ]
        if len(self.problems) > SHOWN:
            shown.append(f"  … and {len(self.problems) - SHOWN} more")
        return "\n".join([f"{self.file}: {len(self.problems)} problems", *shown])

    def __reduce__(self) -> tuple[type, tuple[str, list[Problem]]]:
        return type(self), (self.file, self.problems)

"""The questions of ``init``: each has an option, and a proposal that Enter takes."""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import click
import sqlalchemy as sa

from components.ingest.durations import format_duration, parse_duration
from components.ingest.errors import DataError
from pipeline.init.labels import Candidate

_URL = re.compile(r"^[a-z]+(\+[a-z0-9]+)?://")
_SECRET = re.compile(r"passw|pwd|secret|token", re.IGNORECASE)
_SHOWN = 12


class Questions:
    """Asks, or takes every proposal.

    Attributes:
      yes: whether proposals are taken unasked.
    """

    def __init__(self, yes: bool) -> None:
        self.yes = yes

    def ask(self, text: str, proposal: str | None, check: Callable[[str], Any] = str) -> Any:
        """Asks for text until it can be read; without a proposal something must be typed.

        Args:
          text: the question.
          proposal: what Enter, and ``--yes``, take.
          check: reads the answer; a ValueError is told and the question asked again.
        """
        if self.yes and proposal is not None:
            return check(proposal)

        def read(answer: str) -> Any:
            try:
                return check(answer.strip())
            except ValueError as error:
                raise click.UsageError(str(error)) from None

        return click.prompt(text, default=proposal, value_proc=read)

    def confirm(self, text: str) -> bool:
        """Asks for yes or no; Enter says yes."""
        return self.yes or click.confirm(text, default=True)

    def duration(self, text: str, proposal: int) -> int:
        """Asks for a duration such as 24h; microseconds."""
        found: int = self.ask(text, format_duration(proposal), parse_duration)
        return found

    def among(self, text: str, names: Sequence[str], option: str) -> str:
        """Asks for one of several names, the first of which is proposed; one alone is taken."""
        if len(names) == 1:
            return names[0]

        def check(answer: str) -> str:
            if answer in names:
                return answer
            if answer.isdigit() and 0 < int(answer) <= len(names):
                return names[int(answer) - 1]
            raise ValueError(f"expected one of {', '.join(names)} (or set {option})")

        found: str = self.ask(f"{text} ({', '.join(names[:_SHOWN])})", names[0], check)
        return found

    def candidate(self, found: Sequence[Candidate], tell: Callable[[str], None]) -> Candidate:
        """Asks what is predicted.

        Raises:
          DataError: with ``--yes``, if no name speaks for one of them above all others.
        """
        certain = found[0].score > max(found[1].score if len(found) > 1 else 0.0, 0.0)
        if self.yes:
            if not certain:
                shown = "; ".join(map(str, found[:_SHOWN]))
                raise DataError(
                    "init",
                    "label",
                    f"no name tells for sure what is to be predicted; there are: {shown}",
                    "Say --label COLUMN, or --label-events TABLE for 'an event of it comes'",
                )
            return found[0]
        tell("What should the model predict?")
        for number, candidate in enumerate(found[:_SHOWN], 1):
            tell(f"  {number}  {candidate}")

        def check(answer: str) -> Candidate:
            if answer.isdigit() and 0 < int(answer) <= len(found):
                return found[int(answer) - 1]
            for candidate in found:
                table = candidate.part.table.name
                if answer in (candidate.column, f"{table}.{candidate.column}"):
                    return candidate
                if candidate.column is None and answer == table:
                    return candidate
            raise ValueError("expected a number of the list, a column, or a table of events")

        chosen: Candidate = self.ask("Number or name", "1" if certain else None, check)
        return chosen


def database_place(
    url: str | None, url_env: str | None, questions: Questions
) -> tuple[str | None, str | None]:
    """Where the database is: a URL without a password, or the variable that holds it.

    Args:
      url: from ``--url``.
      url_env: from ``--url-env``.
      questions: asks where neither is given.

    Returns:
      The URL and the variable's name, one of which is None.

    Raises:
      DataError: if the URL holds a password, or the variable is not set.
    """
    if not url and not url_env:
        held = [name for name, value in sorted(os.environ.items()) if _URL.match(value)]
        proposal = min(
            held, key=lambda name: ("DB" not in name and "DATABASE" not in name, name), default=None
        )
        if proposal is None and questions.yes:
            raise DataError(
                "init",
                "database",
                "none is named",
                "export DATABASE_URL='postgresql://user:password@host/database', then say "
                "--url-env DATABASE_URL (or --url sqlite:///data/plant.db)",
            )
        answer = questions.ask(
            "Database: the environment variable that holds its URL, or a URL without password",
            proposal,
        )
        url, url_env = (answer, None) if "://" in answer else (None, answer)
    if url:
        _refuse_password(url)
    elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", url_env or ""):
        raise DataError(
            "init",
            "--url-env",
            "it is no name of an environment variable",
            "Say its name, such as DATABASE_URL, not what it holds",
        )
    return url, url_env


def _refuse_password(url: str) -> None:
    try:
        parsed = sa.engine.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise DataError(
            "init",
            "--url",
            "it is no database URL",
            "Write it as sqlite:///data/plant.db or postgresql://host/database",
        ) from None
    if parsed.password is not None or any(_SECRET.search(key) for key in parsed.query):
        raise DataError(
            "init",
            "--url",
            "it holds a password, which must not end up in settings or in the shell's history",
            "Put it into an environment variable and name that: export DATABASE_URL='…', then "
            "--url-env DATABASE_URL",
        )

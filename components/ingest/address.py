"""The URL of a source's server: in the variable that settings name, else in settings."""

import os
from collections.abc import Callable
from typing import Protocol, TypeVar

from components.ingest.errors import DataError

_Url = TypeVar("_Url")


class _Addressed(Protocol):
    """A source with a URL."""

    @property
    def url_env(self) -> str | None: ...

    @property
    def url(self) -> str | None: ...


def read_url(
    name: str, source: _Addressed, read: Callable[[str], _Url | None], what: str, example: str
) -> _Url:
    """What ``read`` makes of a source's URL, which may hold a password.

    Args:
      name: the source's name, for messages.
      source: its settings.
      read: takes the URL apart; None if it is none of its kind.
      what: what it is to be, for messages.
      example: what one looks like.

    Raises:
      DataError: if there is none, or it cannot be read. The message does not quote it.
    """
    text = os.environ.get(source.url_env) if source.url_env else None
    where = f"environment variable {source.url_env}" if text or not source.url else "url"
    text = text or source.url
    rule, mend = "it is not set, and the source has no url", "Set it"
    if text:
        rule, mend = f"it does not hold {what}", "Write it"
        found = read(text)
        if found is not None:
            return found
    raise DataError(name, where, rule, f"{mend} as {example}; mask @ in a password as %40")

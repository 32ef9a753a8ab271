"""Requests that fail for a moment are made again; writes only after looking whether they took."""

import time
from collections.abc import Callable
from typing import TypeVar

import tenacity
import urllib3

from pipeline.kubeflow.submit.errors import SubmitError

Answer = TypeVar("Answer")

_STATUS = {408, 429, 500, 502, 503, 504}
ATTEMPTS = 4


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later.

    Args:
      error: an exception of kfp's client (with ``status``), of Google's (with ``code``), of
        urllib3 or of the operating system.
    """
    for name in ("status", "code"):
        status = getattr(error, name, None)
        if isinstance(status, int):
            return status in _STATUS
    return isinstance(error, urllib3.exceptions.HTTPError | OSError)


def retried(call: Callable[[], Answer], sleep: Callable[[float], None] = time.sleep) -> Answer:
    """Calls again while it fails for a moment: up to four times, after 0.5 s, 1 s and 2 s.

    Raises:
      Exception: what the last call raised.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=0.5),
        sleep=sleep,
        reraise=True,
    )
    return retrying(call)


def found_or_made(find: Callable[[], Answer | None], make: Callable[[], object]) -> Answer:
    """What ``find`` finds, made first if it is not there.

    A write whose answer is lost may have taken, and repeating it would make a second one; so each
    further attempt looks first.

    Args:
      find: looks it up by a name that nothing else has; None where there is none.
      make: makes it.

    Raises:
      SubmitError: if it is made and not found then.
    """

    def once() -> Answer:
        found = find()
        if found is None:
            make()
            found = find()
        if found is None:
            raise SubmitError(
                "the server took it, and does not list it: may you see what you make?"
            )
        return found

    return retried(once)

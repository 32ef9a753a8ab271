"""What submit tells its user instead of a traceback."""

import json

SHOWN = 600


class SubmitError(Exception):
    """Something that the user can mend; the message says what and how."""


def reason(error: BaseException) -> str:
    """What a server or a failed request says, on one line of at most ``SHOWN`` characters.

    KFP's API server answers ``{"message": …}``, and to uploads ``{"error_message": …}``; a proxy
    before it, a page.

    Args:
      error: what kfp's client, a library below it or Google's raised.
    """
    text = str(error)
    body = getattr(error, "body", None)
    if body:
        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if isinstance(told, dict):
            keys = ("message", "error", "error_message")
            text = next((str(told[key]) for key in keys if told.get(key)), text)
    status = getattr(error, "status", None)
    line = " ".join(text.split()) or type(error).__name__
    if status:
        line = f"{status} {line}"
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"

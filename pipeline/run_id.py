"""The name of a run."""

import datetime
import pathlib
import secrets

_STAMP = "%Y%m%d-%H%M%S"
_RUNS = f"{'[0-9]' * 8}-{'[0-9]' * 6}-*"


def new_run_id(beside: pathlib.Path | None = None) -> str:
    """An id that sorts by time and is unique on this machine.

    Args:
      beside: the folder with earlier runs. The id sorts behind theirs even if the clock was set
        back since: what later runs take over is the last run's.
    """
    stamp = f"{datetime.datetime.now(datetime.timezone.utc):{_STAMP}}"
    newest = max((path.name for path in beside.glob(_RUNS)), default="") if beside else ""
    if newest[: len(stamp)] >= stamp:
        last = datetime.datetime.strptime(newest[: len(stamp)], _STAMP)
        stamp = f"{last + datetime.timedelta(seconds=1):{_STAMP}}"
    return f"{stamp}-{secrets.token_hex(2)}"

"""The name of a run."""

import datetime
import secrets


def new_run_id() -> str:
    """An id that sorts by time and is unique on this machine."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"

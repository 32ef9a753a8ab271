"""What a task is told of its run: parameters that the platform fills in and no component knows.

``as_of`` is a parameter of the whole run, with the settings' own as its default. ``now`` must be
one instant for all stages, though each is a process of its own that starts when it can: it is the
time at which the run was created, which the platform puts where a placeholder stands.
"""

import re
from typing import Any

from components.ingest.durations import format_instant, parse_instant

AS_OF = "as_of"
RUN_ID = "run_id"
RUN_TIME = "run_time"

_FRACTION = re.compile(r"\.\d+")


def settle(parameters: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Makes a task's parameters those that its executor knows.

    Args:
      parameters: as the platform hands them to the task.

    Returns:
      The parameters with ``as_of`` as an instant and without what is told of the run, and the
      run's id where it is told.

    Raises:
      ValueError: if ``as_of`` is no instant and none is known for it.
    """
    settled = dict(parameters)
    run_id = settled.pop(RUN_ID, None)
    time = str(settled.pop(RUN_TIME, ""))
    if AS_OF not in settled:
        return settled, run_id
    as_of = str(settled[AS_OF])
    if as_of == "now":
        if not time or time.startswith("{{"):
            raise ValueError(
                "run parameter as_of is 'now', and nothing tells the time of the run: give an "
                "instant such as '2025-04-17T06:00:00Z'. Kubeflow Pipelines tells it from 2.16 on, "
                "to pipelines compiled with as_of: now"
            )
        as_of = _FRACTION.sub("", time)
    try:
        settled[AS_OF] = format_instant(parse_instant(as_of))
    except ValueError as error:
        raise ValueError(f"run parameter as_of is {as_of!r}: {error}, or 'now'") from None
    return settled, run_id

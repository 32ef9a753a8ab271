"""What a task is told of its run: parameters that the platform fills in and no component knows.

``as_of`` is a parameter of the whole run, with the settings' own as its default. ``now`` must be
one instant for all stages, though each is a process of its own that starts when it can; so it is
the instant at which the run was created, which the platform puts where ``CREATED`` stands.
"""

import re
from typing import Any

from components.ingest.durations import format_instant, parse_instant

AS_OF = "as_of"
RUN_ID = "run_id"
RUN_CREATED = "run_created"
PLACEHOLDERS = {
    # KFP from 2.5 on (kubeflow/pipelines#11599), and Vertex AI.
    RUN_ID: "{{$.pipeline_job_uuid}}",
    # KFP from 2.17 on (kubeflow/pipelines#13474), and Vertex AI.
    RUN_CREATED: "{{$.pipeline_job_create_time_utc}}",
}
SCHEDULED = "[[ScheduledTime.2006-01-02T15:04:05Z]]"
"""``as_of`` of a recurring run: KFP's API server writes the scheduled time in its place."""

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
    created = str(settled.pop(RUN_CREATED, ""))
    if AS_OF not in settled:
        return settled, run_id
    as_of = str(settled[AS_OF])
    if as_of == "now":
        if not created or created.startswith("{{"):
            raise ValueError(
                "run parameter as_of is 'now', and this platform does not tell when the run was "
                "created (Kubeflow Pipelines does from 2.17 on): give an instant such as "
                f"'2025-04-17T06:00:00Z', or {SCHEDULED!r} in a recurring run"
            )
        as_of = _FRACTION.sub("", created)
    try:
        settled[AS_OF] = format_instant(parse_instant(as_of))
    except ValueError as error:
        raise ValueError(f"run parameter as_of is {as_of!r}: {error}, or 'now'") from None
    return settled, run_id

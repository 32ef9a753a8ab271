"""Recurring runs: one of a name, made what is asked.

The API can make, delete, enable and disable one, and not change it. So one that is to be another is
made anew and the old one deleted after that: a schedule is never missing, and a second call puts
right what a broken one left.
"""

import dataclasses
import functools
import hashlib
import json
from typing import Any

from pipeline.kubeflow.submit.backend import Schedule
from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.kubeflow.submit.retry import found_or_made, retried


@dataclasses.dataclass(frozen=True)
class Wish:
    """What the recurring run is to be; ``cron`` has KFP's six fields, seconds first."""

    name: str
    cron: str
    pipeline_id: str
    version_id: str
    values: dict[str, Any]
    pipeline_root: str
    service_account: str | None

    @property
    def mark(self) -> str:
        """Tells it from one that was asked for otherwise; it stands in the description."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def cron_of_six(text: str) -> str:
    """A cron expression as KFP reads it: with seconds.

    Args:
      text: five fields (minute, hour, day, month, day of the week) or six (second first).

    Raises:
      SubmitError: if there are neither five nor six. What each field may be the server judges.
    """
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise SubmitError(
            f"--cron {text!r} has {len(fields)} fields: expected minute, hour, day, month and day "
            "of the week, such as '0 3 * * *' for each night at three (UTC)"
        )
    return " ".join(fields)


def ensure(client: Any, experiment_id: str, wish: Wish) -> Schedule:
    """Makes the recurring run of that name what is wished.

    Args:
      client: a ``kfp.Client``.
      experiment_id: where its runs belong.
      wish: what it is to be.
    """
    before = _all(client, experiment_id, wish.name)

    def find() -> Any:
        for run in _all(client, experiment_id, wish.name):
            if wish.mark in (run.description or ""):
                return run
        return None

    def make() -> None:
        client.create_recurring_run(
            experiment_id,
            wish.name,
            description=f"made by python -m pipeline submit, {wish.mark}",
            cron_expression=wish.cron,
            max_concurrency=1,
            no_catchup=True,
            params=wish.values,
            pipeline_id=wish.pipeline_id,
            version_id=wish.version_id,
            pipeline_root=wish.pipeline_root,
            service_account=wish.service_account,
        )

    found = found_or_made(find, make)
    kept = str(found.recurring_run_id)
    others = [str(run.recurring_run_id) for run in before if run.recurring_run_id != kept]
    for key in others:
        _delete(client, key)
    if len(before) == len(others):
        return Schedule(kept, "replaced" if others else "made")
    if found.status == "DISABLED":
        retried(lambda: client.enable_recurring_run(recurring_run_id=kept))
        return Schedule(kept, "enabled")
    return Schedule(kept, "replaced" if others else "left as it is")


def disable(client: Any, experiment_id: str, name: str) -> int:
    """Disables every recurring run of a name.

    Returns:
      How many were enabled.

    Raises:
      SubmitError: if there is none of that name.
    """
    found = _all(client, experiment_id, name)
    if not found:
        raise SubmitError(f"there is no recurring run {name!r}")
    enabled = [str(run.recurring_run_id) for run in found if run.status != "DISABLED"]
    for key in enabled:
        retried(functools.partial(client.disable_recurring_run, recurring_run_id=key))
    return len(enabled)


def _all(client: Any, experiment_id: str, name: str) -> list[Any]:
    """Those of exactly that name, whatever the server's filter makes of it."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    found = retried(
        lambda: client.list_recurring_runs(
            experiment_id=experiment_id,
            page_size=100,
            filter=json.dumps({"predicates": [predicate]}),
        )
    )
    return [run for run in found.recurring_runs or [] if run.display_name == name]


def _delete(client: Any, key: str) -> None:
    """A delete whose answer was lost has taken: what is gone counts as deleted."""
    try:
        retried(lambda: client.delete_recurring_run(recurring_run_id=key))
    except Exception as error:
        if getattr(error, "status", None) != 404:
            raise

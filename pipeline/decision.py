"""The sentence at a run's end: what was pushed, or why nothing was."""

import dataclasses
from typing import Any

from components.version_pusher.report import read_push
from pipeline.history import Output


@dataclasses.dataclass(frozen=True)
class Decision:
    """The sentence, and whether the model is a version to serve now."""

    text: str
    pushed: bool


def of(ended: dict[str, list[Output]]) -> Decision | None:
    """The decision of a run; None if it did not get as far as VersionPusher.

    Args:
      ended: by stage, the artifacts it made.
    """
    for output in ended.get("VersionPusher", []):
        return decide(read_push(str(output.uri)))
    return None


def decide(push: dict[str, Any]) -> Decision:
    """Puts into words what ``components.version_pusher.executor.push`` reports."""
    if not push["pushed"]:
        serves = push["serves"]
        still = f"; version {serves} still serves" if serves else ""
        return Decision(f"not pushed, because {push['reason']}{still}", False)
    if not push["created"]:
        return Decision(f"nothing new to push: {push['reason']}", True)
    also = f". {push['registry']}" if push.get("registry") else ""
    return Decision(f"version {push['version']} pushed: {compare(push)}{also}", True)


def compare(evaluation: dict[str, Any]) -> str:
    """The metrics beside the champion's: ``auc 0.91, +0.01 over version 6``.

    Args:
      evaluation: an evaluation's or a push's report.
    """
    told = []
    for name, value in evaluation["metrics"].items():
        if name == "example_count" or value is None:
            continue
        text = f"{name} {value:.3f}"
        before = evaluation["baseline_metrics"].get(name)
        if before is not None:
            text += f", {value - before:+.3f} over version {evaluation['baseline_version']}"
        told.append(text)
    if evaluation["baseline_version"] is None:
        told.append("nothing served before")
    return "; ".join(told)

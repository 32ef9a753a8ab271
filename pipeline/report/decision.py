"""What a run decided, why, and what its reader can do next."""

import dataclasses
import os
import pathlib
from typing import Literal

from pipeline.decision import compare
from pipeline.report import numbers
from pipeline.report.run import Report, Run

Kind = Literal["good", "warn", "bad", "quiet"]


@dataclasses.dataclass(frozen=True)
class Decision:
    """The page's first words.

    Attributes:
      kind: how good it is.
      title: the decision.
      why: sentences.
      steps: what can be done next, a sentence each.
    """

    kind: Kind
    title: str
    why: str = ""
    steps: tuple[str, ...] = ()


def of(run: Run) -> Decision:
    """The decision of a run, whatever became of it."""
    record = run.record
    if record["state"] == "failed":
        return _failed(run)
    if record["state"] == "stopped":
        return Decision(
            "warn",
            "Stopped by hand; nothing was released",
            f"It was stopped {_during(record)}. What serves is what served before.",
            ("Run again to go on: finished stages are taken from the cache.",),
        )
    if record["state"] == "running":
        return Decision(
            "quiet",
            "Still running",
            f"It is at work {_during(record)}, or was killed without a chance to say so.",
            ("Make this report again once it has ended.",),
        )
    push = run.report("VersionPusher", "pushed_model", "pushed.json")
    return _partial(run) if push is None else _pushed(run, push)


def _pushed(run: Run, push: Report) -> Decision:
    if push["pushed"] and push["created"]:
        staged = push["state"] == "staged"
        told = compare(dict(push))
        then = (
            ("Try it on a share of the traffic: python -m pipeline rollout",)
            if staged
            else ('To take it back: python -m pipeline rollback --why "…"',)
        )
        return Decision(
            "good",
            f"Version {push['version']} was released" + (" and awaits its trial" if staged else ""),
            f"It passed all gates and {'is staged' if staged else 'serves now'}: {told}.",
            then,
        )
    if push["pushed"]:
        return Decision(
            "good",
            f"Nothing new to release: version {push['version']} is this model",
            f"{push['reason'][0].upper()}{push['reason'][1:]}.",
            ("None is needed. New data or other settings make a new model.",),
        )
    serves = f"Version {push['serves']} still serves." if push["serves"] else "Nothing serves yet."
    return Decision(
        "warn",
        "The new model was not released",
        f"Because {push['reason']}. {serves}",
        tuple(_after_refusal(run)),
    )


def _after_refusal(run: Run) -> list[str]:
    steps = []
    evaluation = run.report("Evaluator", "evaluation", "evaluation.json")
    if evaluation is not None and not evaluation["blessed"]:
        steps += [
            "Look below at where it is worse: by slice, in calibration, in features that moved.",
            "Mend the data or train differently, then run again; or, if the bound is too strict "
            "for what the model is for, change evaluation.metrics in the settings.",
        ]
    gate = run.report("ServingGate", "blessing")
    if gate is not None and not gate["blessed"]:
        steps.append(
            "Look at the serving gate below. On a busy machine measure again: "
            "python -m pipeline run tries a refused candidate anew."
        )
    return steps or ["Run again once the reason is mended."]


def _failed(run: Run) -> Decision:
    record = run.record
    stage = next((name for name, state in record["nodes"].items() if state == "failed"), "")
    first, _, rest = record["error"].strip().partition("\n")
    log = _shown(run.folder / "log.jsonl")
    if stage == "AnomalyGate" and rest:
        return Decision(
            "bad",
            "Stopped: the data is not what the model expects",
            f"{first[0].upper()}{first[1:]}. No model was trained; what served still serves.",
            (
                "Each anomaly below says what was expected and how to mend it.",
                "If the data is right and the schema too strict, take the change up: "
                "python -m pipeline schema infer, then diff, then accept.",
                "Run again: stages before the gate are taken from the cache.",
            ),
        )
    why = record["error"].strip() or "The process ended without a word: it may have been killed."
    return Decision(
        "bad",
        f"Failed in {stage}" if stage else "The run failed",
        f"{why}\nNothing was released; what serves is what served before.",
        (
            f"The full traceback stands in {log}.",
            "Mend what the message names and run again: finished stages are taken from the cache.",
        ),
    )


def _partial(run: Run) -> Decision:
    ended = ", ".join(run.plan["to_nodes"])
    told = f"It was asked to end after {ended}." if ended else "It had no release stage."
    return Decision(
        "quiet",
        "A part of the pipeline ran; nothing was to be released",
        told,
        ("Run the whole pipeline to get a decision: python -m pipeline run",),
    )


def _during(record: Report) -> str:
    begun = [name for name, state in record["nodes"].items() if state in ("running", "stopped")]
    done = sum(state in ("done", "cached", "skipped") for state in record["nodes"].values())
    if not begun:
        return "before the first stage" if not done else f"after {done} stages"
    after = numbers.duration(record["seconds"].get(begun[0]) or None)
    told = f"in {begun[0]}"
    return told if after == numbers.NOTHING else f"{told}, {after} after it began"


def _shown(path: pathlib.Path) -> str:
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near

"""Pushes a blessed model and tells what happened."""

import json
from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.ingest.durations import format_instant
from components.ingest.split import read_window
from components.tuner import hyperparameters
from components.version_pusher.report import PUSHED
from serving.folders import write_atomically
from serving.registry.background import Mirror
from serving.releases import QUARANTINED, STAGED, Releases

EVALUATION = "evaluation.json"
# The files that Evaluator, and InfraValidator or our serving gate, leave in their blessing.
MODEL_BLESSED, INFRA_BLESSED = "BLESSED", "INFRA_BLESSED"
GATE_REPORT, STORED_MODEL = "report.json", "stored_model"
SERVING_GATE = "serving gate"
_MOST_TOLD = 5
_REGISTRY_SECONDS = 30.0


def push(
    directory: str,
    model: Path,
    evaluation: dict[str, Any],
    blessings: dict[str, bool],
    lineage: dict[str, Any],
    keep: int,
    statistics: Path | None,
    schema: Path | None,
    rollout: str = "at_once",
    served: dict[str, Any] | None = None,
    registry: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Pushes the model if every gate blessed it.

    Args:
      directory: the served model's folder.
      model: the candidate's SavedModel.
      evaluation: what Evaluator wrote into ``evaluation.json``.
      blessings: by gate, whether it blessed.
      lineage: kept in the version's release.json.
      keep: how many of the newest versions stay.
      statistics: folder of the training examples' statistics.
      schema: file of their schema.
      rollout: ``at_once``: the version serves; ``canary``: it is staged for a trial.
      served: the serving gate's report, if it left one.
      registry: settings of the registry that mirrors the record, if there is one. One that is down
        delays the push by half a minute at most, and is told.

    Returns:
      What stands in ``pushed.json``: ``pushed`` (the model is a version to serve), ``created`` (and
      is new), ``version``, ``state`` (what that is), ``serves`` (the version that does now),
      ``reason``, ``metrics``, ``baseline_metrics``, ``baseline_version``, ``pruned``, ``registry``
      (what that does not know, in words; empty if it is up to date). A model that was rolled back
      is not pushed again.

    Raises:
      serving.releases.ReleaseError: if the release record cannot be used.
    """
    mirror = Mirror(directory, registry) if registry else None
    releases = Releases(directory, [mirror] if mirror else [])
    result: dict[str, Any] = {
        "pushed": False,
        "created": False,
        "version": None,
        "state": None,
        "metrics": evaluation["metrics"],
        "baseline_metrics": evaluation["baseline_metrics"],
        "baseline_version": evaluation["baseline_version"],
        "pruned": [],
        "registry": "",
    }
    if not all(blessings.values()):
        stable = releases.stable()
        return {
            **result,
            "serves": stable.number if stable else None,
            "reason": _refusal(evaluation, blessings, served or {}),
        }
    why = f"blessed by {', '.join(blessings)}"
    release = {
        "lineage": lineage,
        "metrics": evaluation["metrics"],
        "baseline_version": evaluation["baseline_version"],
        "baseline_metrics": evaluation["baseline_metrics"],
        "gates": {
            **{name: {"blessed": blessed} for name, blessed in blessings.items()},
            **({SERVING_GATE: {"blessed": True, "measured": served["measured"]}} if served else {}),
            "evaluation": {"blessed": True, "thresholds": evaluation["thresholds"]},
        },
    }
    done = releases.push(
        model,
        release,
        keep,
        why,
        by="pipeline",
        statistics=statistics,
        schema=schema,
        rollout=rollout,
    )
    if not done.created:
        why = f"the same model is version {done.version} already"
        if done.state == QUARANTINED:
            why += f", quarantined because {done.why}; promoting it is for a person to do"
        elif done.state == STAGED:
            why += ", staged for its trial"
        elif done.stable != done.version:
            why += f"; version {done.stable} serves, and promoting is for a person to do"
    return {
        **result,
        "pushed": done.state != QUARANTINED,
        "created": done.created,
        "version": done.version,
        "state": done.state,
        "serves": done.stable,
        "reason": why,
        "pruned": list(done.pruned),
        # In a cluster's pod it would end with this process.
        "registry": mirror.wait(_REGISTRY_SECONDS) if mirror else "",
    }


def data_lineage(as_of: str, split: str, horizon: str) -> dict[str, str]:
    """The data that a version was made from: ``as_of`` and the stretches ``train`` and ``eval``.

    Args:
      as_of: an ISO 8601 time.
      split: Split as JSON.
      horizon: a duration such as ``'24h'``.
    """
    window = read_window(as_of, split, horizon)
    return {
        "as_of": format_instant(window.as_of),
        "train": f"{format_instant(window.train_begin)}/{format_instant(window.train_end)}",
        "eval": f"{format_instant(window.eval_begin)}/{format_instant(window.eval_end)}",
    }


def _refusal(evaluation: dict[str, Any], blessings: dict[str, bool], served: dict[str, Any]) -> str:
    reasons = []
    for gate, blessed in blessings.items():
        if not blessed:
            told = (evaluation if gate == "evaluation" else served).get("reasons", [])[:_MOST_TOLD]
            reasons.append("; ".join(told) or f"{gate} did not bless the model")
    return "; ".join(reasons)


class Executor(base_executor.BaseExecutor):
    """VersionPusher's work."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes, or not, and writes ``pushed.json``."""
        self._log_startup(input_dict, output_dict, exec_properties)
        inputs = {
            name: artifact_utils.get_single_instance(artifacts)
            for name, artifacts in input_dict.items()
            if artifacts
        }
        blessings = {"evaluation": (Path(inputs["model_blessing"].uri) / MODEL_BLESSED).exists()}
        model = Path(path_utils.serving_model_path(inputs["model"].uri))
        report: dict[str, Any] | None = None
        if "infra_blessing" in inputs:
            served = Path(inputs["infra_blessing"].uri)
            blessings[SERVING_GATE] = (served / INFRA_BLESSED).exists()
            if (served / GATE_REPORT).exists():
                report = json.loads((served / GATE_REPORT).read_text(encoding="utf-8"))
            # The same model with warm-up requests.
            if (served / STORED_MODEL).exists():
                model = served / STORED_MODEL
        result = push(
            exec_properties["directory"],
            model,
            json.loads((Path(inputs["evaluation"].uri) / EVALUATION).read_text(encoding="utf-8")),
            blessings,
            {
                "run_id": self._context.pipeline_run_id if self._context else None,
                **data_lineage(*(exec_properties[key] for key in ("as_of", "split", "horizon"))),
                **json.loads(exec_properties["lineage"]),
                **(
                    {"hyperparameters": hyperparameters.read(Path(inputs["hyperparameters"].uri))}
                    if "hyperparameters" in inputs
                    else {}
                ),
            },
            exec_properties["keep"],
            Path(inputs["statistics"].uri),
            Path(io_utils.get_only_uri_in_dir(inputs["schema"].uri)),
            exec_properties["rollout"],
            report,
            json.loads(exec_properties["registry"] or "null"),
        )
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        folder = Path(pushed.uri)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / PUSHED, json.dumps(result, indent=2) + "\n")
        pushed.set_int_custom_property("pushed", int(result["pushed"]))
        pushed.set_string_custom_property("reason", result["reason"])
        if result["pushed"]:
            place = Path(exec_properties["directory"]) / str(result["version"])
            pushed.set_string_custom_property("pushed_version", str(result["version"]))
            pushed.set_string_custom_property("pushed_destination", str(place))
        logging.info("pushed: %s (%s)", result["version"], result["reason"])

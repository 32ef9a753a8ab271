"""What TFX's compiler leaves out of a PipelineSpec, put in: one function a gap.

Each takes the spec as a dictionary in proto3 JSON and returns it changed; the one given stays as it
is.
"""

import copy
from typing import Any

from pipeline.kubeflow.run_values import AS_OF, RUN_ID, RUN_TIME
from pipeline.settings.kubeflow import Node

Spec = dict[str, Any]

# KFP from 2.5 on (kubeflow/pipelines#11599), and Vertex AI.
_RUN_ID = "{{$.pipeline_job_uuid}}"
# KFP from 2.16 on (kubeflow/pipelines#13474), and Vertex AI. Not the schedule's time: KFP's driver
# looks that up anew for each task and, where it may not, tells the time of creation instead.
_RUN_TIME = "{{$.pipeline_job_create_time_utc}}"
PLACEHOLDERS = frozenset({_RUN_ID, _RUN_TIME})


def keep_defaults(spec: Spec, defaults: dict[str, Any]) -> Spec:
    """Gives run parameters their defaults.

    TFX drops them (``compiler_utils.build_parameter_type_spec``), and a run, above all one that is
    started from the UI or by a schedule, must then name every parameter.
    """
    spec = copy.deepcopy(spec)
    for name, value in defaults.items():
        spec["root"]["inputDefinitions"]["parameters"][name]["defaultValue"] = value
    return spec


def tell_the_run(spec: Spec, now: bool) -> Spec:
    """Hands the run's id, and where ``as_of`` may be 'now' its time of creation, to who needs them.

    Locally TFX's drivers tell executors of their run; on Kubeflow no driver of TFX runs
    (tensorflow/tfx#6722).

    Args:
      spec: the PipelineSpec.
      now: whether ``as_of`` is 'now' by default. Else the time is left out, since a parameter that
        is another in each run keeps a task from ever being cached.
    """
    spec = copy.deepcopy(spec)
    for task in spec["root"]["dag"]["tasks"].values():
        given = task["inputs"].get("parameters", {})
        told = {}
        if "lineage" in given:
            told[RUN_ID] = _RUN_ID
        if now and AS_OF in given:
            told[RUN_TIME] = _RUN_TIME
        component = spec["components"][task["componentRef"]["name"]]
        for name, placeholder in told.items():
            given[name] = {"runtimeValue": {"constant": placeholder}}
            component["inputDefinitions"]["parameters"][name] = {"parameterType": "STRING"}
    return spec


def set_task(spec: Spec, name: str, node: Node, cached: bool) -> Spec:
    """Says of a task whether it is cached and how often it is tried.

    TFX has one switch for the cache of all tasks and no word for retries.
    """
    spec = copy.deepcopy(spec)
    task = spec["root"]["dag"]["tasks"][name]
    task["cachingOptions"] = {"enableCache": cached}
    if node.retries:
        task["retryPolicy"] = {
            "maxRetryCount": node.retries,
            "backoffDuration": "30s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": "600s",
        }
    return spec


def set_container(
    spec: Spec, name: str, resources: dict[str, Any], environment: dict[str, str]
) -> Spec:
    """Says what a task's container asks for.

    TFX has ``platform_config`` for it, which it forgets for ExampleGens that read files
    (``step_builder._build_file_based_example_gen_spec``), and nothing for the environment.

    Args:
      spec: the PipelineSpec.
      name: the task.
      resources: a ResourceSpec.
      environment: values by variable; no secrets.
    """
    spec = copy.deepcopy(spec)
    component = spec["components"][spec["root"]["dag"]["tasks"][name]["componentRef"]["name"]]
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    if resources:
        container["resources"] = resources
    if environment:
        container["env"] = [{"name": k, "value": v} for k, v in sorted(environment.items())]
    return spec

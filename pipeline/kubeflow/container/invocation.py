"""What the launcher asks of a task: the executor input, repaired until TFX can use it.

The launcher puts ``ExecutorInput`` (``api/v2alpha1/pipeline_spec.proto`` in kubeflow/pipelines) as
JSON in the place of ``{{$}}``. Nothing here needs TFX.
"""

import dataclasses
import json
from typing import Any

import yaml

from pipeline.kubeflow.container.storage import Storage
from pipeline.kubeflow.run_values import settle

_LOGS = "executor-logs"


@dataclasses.dataclass(frozen=True)
class Described:
    """An artifact as the launcher describes it.

    Attributes:
      name: its id in ML Metadata, for an input; on Vertex AI the name of a resource.
      type: the title of its type, such as ``tfx.Examples``.
      uri: where the launcher keeps it.
      path: where code in this container finds it.
      metadata: its properties.
    """

    name: str
    type: str
    uri: str
    path: str
    metadata: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Invocation:
    """A task.

    Attributes:
      run_id: the pipeline run.
      node: the task's name.
      inputs: the artifacts by key.
      outputs: one artifact by key.
      parameters: what TFX calls execution properties.
      output_file: where the launcher looks for the outputs' metadata.
    """

    run_id: str
    node: str
    inputs: dict[str, list[Described]]
    outputs: dict[str, Described]
    parameters: dict[str, Any]
    output_file: str


def read(executor_input: str, inputs_spec: str, storage: Storage) -> Invocation:
    """Reads a task's arguments.

    * An input of Kubeflow Pipelines has no type: ``ToRuntimeArtifact`` (kubeflow/pipelines
      ``backend/src/v2/metadata/client.go``) fills in a schema that ML Metadata does not keep, and
      TFX fails with ``'NoneType' object has no attribute 'get'`` (tensorflow/tfx#7768). The type is
      taken from the inputs' specification, which TFX compiles into each task's arguments.
    * Kubeflow Pipelines 2.5 and later give each task the output ``executor-logs``
      (``provisionOutputs``, ``backend/src/v2/driver/driver.go``). It is the launcher's own, and TFX
      has no such type.

    Args:
      executor_input: ExecutorInput as JSON.
      inputs_spec: ComponentInputsSpec as JSON.
      storage: where the artifacts lie.

    Raises:
      ValueError: if an artifact has no type, or a parameter of the run no sense.
    """
    given, spec = json.loads(executor_input), json.loads(inputs_spec)
    inputs, outputs = given.get("inputs", {}), given["outputs"]
    specified = {
        key: _title(artifact["artifactType"]) for key, artifact in spec.get("artifacts", {}).items()
    }
    described_outputs = {
        key: _described(key, artifact, "", storage)
        for key, artifacts in outputs.get("artifacts", {}).items()
        if key != _LOGS
        for artifact in artifacts["artifacts"]
    }
    run_id, node = _run_and_node(next((o.uri for o in described_outputs.values()), ""))
    parameters, told_id = settle(
        {
            key: _parameter(value, spec.get("parameters", {}).get(key, {}).get("parameterType"))
            for key, value in inputs.get("parameterValues", {}).items()
        }
    )
    return Invocation(
        # Kubeflow Pipelines before 2.5 leaves the placeholder as it is.
        run_id=told_id if told_id and not told_id.startswith("{{") else run_id,
        node=node,
        inputs={
            key: [_described(key, a, specified.get(key, ""), storage) for a in given_list]
            for key, artifacts in inputs.get("artifacts", {}).items()
            if (given_list := artifacts.get("artifacts"))
        },
        outputs=described_outputs,
        parameters=parameters,
        output_file=dataclasses.replace(storage, native=frozenset()).local(outputs["outputFile"]),
    )


def _described(key: str, artifact: dict[str, Any], specified: str, storage: Storage) -> Described:
    title = _title(artifact.get("type", {})) or specified
    if not title:
        raise ValueError(
            f"artifact {key!r} ({artifact['uri']}) has no type, and the task's "
            "--json_serialized_inputs_spec_args tells none: compile with use_pipeline_spec_2_1"
        )
    return Described(
        name=artifact.get("name", ""),
        type=title,
        uri=artifact["uri"],
        path=storage.local(artifact["uri"]),
        metadata=artifact.get("metadata", {}),
    )


def _title(schema: dict[str, str]) -> str:
    if schema.get("instanceSchema"):
        return str(yaml.safe_load(schema["instanceSchema"])["title"])
    return schema.get("schemaTitle", "")


def _parameter(value: Any, kind: str | None) -> Any:
    """JSON knows one kind of number."""
    if kind == "NUMBER_INTEGER":
        return int(value)
    return float(value) if kind == "NUMBER_DOUBLE" else value


def _run_and_node(uri: str) -> tuple[str, str]:
    """Finds both in an output's URI; nothing else in the executor input tells them.

    Kubeflow Pipelines: ``<root>/<pipeline>/<run>/<task>/<salt>/<output>`` (``GenerateOutputURI`` in
    ``root_dag.go`` and ``driver.go`` of ``backend/src/v2/driver``), in old ones without a salt;
    Vertex AI: ``<root>/<project>/<run>/<task>_<number>/<output>``.
    """
    *_, run, task, salt, _output = ["", "", "", *uri.split("/")]
    is_salt = len(salt) == 36 and salt.count("-") == 4
    return (run, task) if is_salt else (task, salt)

"""What TFX's pipelines may hold and a cluster cannot run, told before TFX compiles or crashes."""

from collections.abc import Iterator

from tfx.components import FileBasedExampleGen, InfraValidator
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline

_KINDS: tuple[tuple[type[BaseNode], str], ...] = (
    (
        Resolver,
        "Kubeflow has no Resolver (backend/src/v2/compiler/argocompiler/argo.go, 'resolver not "
        "implemented yet'): read what it should find in a component of yours, as Champion does",
    ),
    (
        InfraValidator,
        "TFX does not compile InfraValidator (step_builder.StepBuilder.build): use ServingGate",
    ),
    (
        FileBasedExampleGen,
        "its driver, which finds spans and versions, never runs (tensorflow/tfx#6722): use "
        "SensorExampleGen or SqlExampleGen",
    ),
)


class UnsupportedError(ValueError):
    """A pipeline with nodes that a cluster cannot run."""


def check_supported(pipeline: Pipeline) -> None:
    """Refuses nodes that a cluster cannot run.

    Raises:
      UnsupportedError: with every such node.
    """
    told = [f"  {node.id}: {why}" for node in pipeline.components for why in _reasons(node)]
    if told:
        raise UnsupportedError("\n".join(["the pipeline cannot run on Kubeflow:", *told]))


def _reasons(node: BaseNode) -> Iterator[str]:
    for kind, why in _KINDS:
        if isinstance(node, kind):
            yield why
    if node.exec_properties.get("module_file"):
        yield (
            "module_file makes a wheel in pipeline_root while compiling: name a function of an "
            "importable module by run_fn or preprocessing_fn"
        )
    for name, parameter in getattr(getattr(node, "spec", None), "PARAMETERS", {}).items():
        if getattr(parameter, "use_proto", False) and node.exec_properties.get(name) is not None:
            yield f"parameter {name!r} is use_proto, and executors on Kubeflow get text instead"
    for key, channel in {**node.inputs, **node.outputs}.items():
        own = not channel.type.__module__.startswith("tfx.")
        if own and channel.type.PROPERTIES:
            yield (
                f"artifact {key!r} is of type {channel.type.TYPE_NAME} with properties, which "
                "TFX's compiler refuses (compiler_utils._validate_properties_schema): use custom "
                "properties"
            )

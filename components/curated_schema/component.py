"""CuratedSchema: the schema that people keep under version control, as an artifact."""

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from components.curated_schema import executor


class CuratedSchemaSpec(component_spec.ComponentSpec):
    """What CuratedSchema takes and makes."""

    PARAMETERS: dict[str, Any] = {  # noqa: RUF012
        "schema_file": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS: dict[str, Any] = {  # noqa: RUF012
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }


class CuratedSchema(base_component.BaseComponent):
    """Checks the curated schema and hands it on as ``schema``.

    TFX's ImportSchemaGen takes any file: an empty one too, which then allows everything. And its
    cache key is the file's name, so that an edited schema is not read again.
    """

    SPEC_CLASS = CuratedSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, schema_file: str, fingerprint: str, code: str) -> None:
        """Construct the component.

        Args:
          schema_file: the schema in protobuf's text form.
          fingerprint: a text that changes with the file's content.
          code: a fingerprint of the component's code.
        """
        spec = CuratedSchemaSpec(
            schema_file=schema_file,
            fingerprint=fingerprint,
            code=code,
            schema=channel.Channel(type=standard_artifacts.Schema),
        )
        super().__init__(spec=spec)

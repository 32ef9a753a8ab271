"""The kinds of sources: this repository's own, and those that installed packages bring.

A project's own source is either one more line in ``OWN``, or an entry point of an installed package
in the group ``tfx_pipeline.sources``: its name is the kind, its value the class.
"""

import functools
import importlib
import importlib.metadata
import operator
import typing
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import pydantic

from components.ingest.source import RowSource, Source

GROUP = "tfx_pipeline.sources"
OWN = {
    "sql": "components.ingest.sources:SqlSource",
    "sensor": "components.ingest.sensor.source:SensorSource",
    "mongo": "components.ingest.mongo.source:MongoSource",
    "influx": "components.ingest.influx.source:InfluxSource",
}


@functools.cache
def kinds() -> dict[str, type[Source]]:
    """By kind the class of its settings.

    A package whose class cannot be used does not keep others from being read: its kind is there,
    and settings that use it are told what is wrong.
    """
    found = {kind: _load(value) for kind, value in OWN.items()}
    for point in importlib.metadata.entry_points(group=GROUP):
        if point.name in OWN:
            warnings.warn(f"{point.value} brings kind {point.name!r}, which is taken", stacklevel=2)
            continue
        try:
            if point.name in found:
                raise ValueError("another package brings this kind too")
            found[point.name] = _checked(point.name, _load(point.value))
        except Exception as error:
            found[point.name] = _unusable(point.name, f"{point.value}: {error}")
    return found


def _load(value: str) -> Any:
    module, _, name = value.partition(":")
    return getattr(importlib.import_module(module), name)


def _checked(kind: str, found: Any) -> type[Source]:
    if not (isinstance(found, type) and issubclass(found, RowSource)):
        raise TypeError("expected a class of components.ingest.source.RowSource")
    if typing.get_args(found.model_fields["kind"].annotation) != (kind,):
        raise TypeError(f"expected kind: Literal[{kind!r}] among its fields")
    return found


def _unusable(kind: str, why: str) -> type[Source]:
    def refuse(_: Any) -> Any:
        raise ValueError(f"kind {kind!r} is brought by an entry point that cannot be used: {why}")

    tagged: Any = typing.Literal[kind]
    refusal: Any = pydantic.model_validator(mode="before")(refuse)
    return pydantic.create_model(
        f"Unusable_{kind}",
        __base__=RowSource,
        __validators__={"refuse": refusal},
        kind=(tagged, ...),
    )


if TYPE_CHECKING:
    from components.ingest.sensor.source import SensorSource

    AnySource = RowSource | SensorSource
else:
    AnySource = Annotated[
        functools.reduce(operator.or_, kinds().values()), pydantic.Field(discriminator="kind")
    ]
"""What may stand under ``sources:``; its ``kind`` tells which."""


def source_from_json(text: str) -> AnySource:
    """A source's settings, as a component is given them."""
    return pydantic.TypeAdapter(AnySource).validate_json(text)

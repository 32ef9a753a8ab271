"""What differs between two schemas, said in words."""

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2


class Change(NamedTuple):
    """One difference.

    Attributes:
      feature: the column; ``(schema)`` where it is the whole schema's.
      what: the property, or ``column`` where the column itself comes or goes.
      before: as text; empty where there was none.
      after: as text; empty where there is none.
    """

    feature: str
    what: str
    before: str
    after: str


def compare(before: schema_pb2.Schema | None, after: schema_pb2.Schema) -> list[Change]:
    """All differences, whole columns first, then by column.

    Args:
      before: the curated schema; None if there is none yet.
      after: the proposed one.
    """
    old = before or schema_pb2.Schema()
    olds, news = ({f.name: f for f in schema.feature} for schema in (old, after))
    changes = [
        Change(name, "column", "", _short(news[name], after)) for name in news if name not in olds
    ]
    changes += [
        Change(name, "column", _short(olds[name], old), "") for name in olds if name not in news
    ]
    for name in news:
        if name in olds:
            changes += _pairs(name, _told(olds[name], old), _told(news[name], after))
    changes += _pairs("(schema)", _whole(old), _whole(after))
    return changes


def _short(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> str:
    told = _told(feature, schema)
    shown = [told[key] for key in ("type", "presence", "range", "values") if key in told]
    shown += [f"{key} {told[key]}" for key in ("not in", "drift limit") if key in told]
    return ", ".join(shown)


def _pairs(name: str, before: dict[str, str], after: dict[str, str]) -> Iterator[Change]:
    for what in dict.fromkeys([*before, *after]):
        if before.get(what, "") != after.get(what, ""):
            yield Change(name, what, before.get(what, ""), after.get(what, ""))


def _told(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> dict[str, str]:
    """A feature's properties as text; every field of it is told."""
    rest = schema_pb2.Feature()
    rest.CopyFrom(feature)
    told = {"type": schema_pb2.FeatureType.Name(feature.type)}
    if feature.HasField("presence"):
        told["presence"] = f"at least {feature.presence.min_fraction:.0%}"
        if feature.presence.min_count > 1:
            told["presence"] += f" and {feature.presence.min_count} rows"
    if feature.domain:
        told["values"] = _values(feature.domain, schema)
    elif feature.HasField("string_domain"):
        told["values"] = ", ".join(feature.string_domain.value)
    elif feature.bool_domain == schema_pb2.BoolDomain() and feature.HasField("bool_domain"):
        told["values"] = "0, 1"
        rest.ClearField("bool_domain")
    elif feature.HasField("float_domain"):
        told["range"] = _range(feature.float_domain)
        refused = [n for n in ("nan", "inf") if getattr(feature.float_domain, f"disallow_{n}")]
        if refused:
            told["refused"] = ", ".join(refused)
    elif feature.HasField("int_domain"):
        told["range"] = _range(feature.int_domain)
        if feature.int_domain.is_categorical:
            told["category"] = "yes"
    for kind in ("drift", "skew"):
        if feature.HasField(f"{kind}_comparator"):
            told[f"{kind} limit"] = _limit(getattr(feature, f"{kind}_comparator"))
    if feature.not_in_environment:
        told["not in"] = ", ".join(feature.not_in_environment)
    for field in (
        *("name", "type", "presence", "domain", "string_domain", "not_in_environment"),
        *("drift_comparator", "skew_comparator"),
    ):
        rest.ClearField(field)
    for field in ("float_domain", "int_domain"):
        # Embeddings and named domains are left for the text below.
        if feature.HasField(field):
            for part in ("min", "max", "is_categorical", "disallow_nan", "disallow_inf"):
                if part in getattr(rest, field).DESCRIPTOR.fields_by_name:
                    getattr(rest, field).ClearField(part)
            if not getattr(rest, field).ByteSize():
                rest.ClearField(field)
    for descriptor, _ in rest.ListFields():
        only = schema_pb2.Feature()
        only.CopyFrom(rest)
        for other, _ in rest.ListFields():
            if other.name != descriptor.name:
                only.ClearField(other.name)
        text = text_format.MessageToString(only, as_one_line=True)
        told[descriptor.name.replace("_", " ")] = text.removeprefix(descriptor.name).strip()
    return told


def _values(domain: str, schema: schema_pb2.Schema) -> str:
    return ", ".join(v for d in schema.string_domain if d.name == domain for v in d.value)


def _range(domain: schema_pb2.FloatDomain | schema_pb2.IntDomain) -> str:
    if not (domain.HasField("min") or domain.HasField("max")):
        return "any"
    low = f"{domain.min:g}" if domain.HasField("min") else "…"
    high = f"{domain.max:g}" if domain.HasField("max") else "…"
    return f"{low} to {high}"


def _limit(comparator: schema_pb2.FeatureComparator) -> str:
    return ", ".join(
        f"{name} {getattr(comparator, field).threshold:g}"
        for field, name in (
            ("infinity_norm", "L-infinity"),
            ("jensen_shannon_divergence", "Jensen-Shannon"),
            ("normalized_abs_difference", "difference"),
        )
        if comparator.HasField(field)
    )


def _whole(schema: schema_pb2.Schema) -> dict[str, str]:
    rest = schema_pb2.Schema()
    rest.CopyFrom(schema)
    rest.ClearField("feature")
    used = {feature.domain for feature in schema.feature}
    unused = [domain for domain in rest.string_domain if domain.name not in used]
    rest.ClearField("string_domain")
    rest.string_domain.extend(unused)
    told: dict[str, str] = {}
    if rest.default_environment:
        told["environments"] = ", ".join(rest.default_environment)
        rest.ClearField("default_environment")
    if rest.dataset_constraints.min_examples_count:
        told["fewest rows"] = f"{rest.dataset_constraints.min_examples_count:,}"
        rest.dataset_constraints.ClearField("min_examples_count")
        if not rest.dataset_constraints.ByteSize():
            rest.ClearField("dataset_constraints")
    if rest.ByteSize():
        told["other"] = text_format.MessageToString(rest, as_one_line=True)
    return told

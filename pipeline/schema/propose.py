"""Proposing a schema from statistics: TFDV's inference, curated by what the settings know."""

import math
from collections.abc import Callable, Iterable, Mapping

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.anomaly_gate.statistics_files import Statistics, common_stats, feature_name
from components.curated_schema.schema_file import SERVING, TRAINING
from pipeline.schema.facts import Facts

DOMAIN_SIZE = 50
"""Text columns with at most so many values get a domain."""

REPEATS = 5
"""A domain needs values that come at least so often on average, else they are free text."""

DOMAIN_MASS = 0.99
"""The share of rows that must lie in a domain; rarer new values go to the oov buckets."""

MOVED = 0.3
"""The least threshold of drift and skew, 0 to 1: meant for breaks, not for trends."""

UNSTEADY = 0.4
"""A column that moves so far from train to eval moves by nature, and gets no comparator."""


def propose(
    statistics: Mapping[str, Statistics], facts: Facts, curated: schema_pb2.Schema | None
) -> schema_pb2.Schema:
    """Proposes a schema that all splits fit.

    Without a curated schema everything is inferred. With one its limits stand, as people wrote
    them, except where the statistics contradict them; columns that it lacks are inferred, and
    columns that are gone are taken out.

    Args:
      statistics: by split; each holds one data set.
      facts: what the settings know.
      curated: the schema that holds now, or None.

    Raises:
      ValueError: if there are no statistics, or none with a row.
    """
    filled = {split: s for split, s in statistics.items() if s.datasets[0].num_examples}
    if not filled:
        raise ValueError("the statistics hold no row: nothing can be inferred")
    known = {feature.name for feature in curated.feature} if curated else set()
    first, *others = filled.values()
    if curated is None:
        schema = tfdv.infer_schema(
            first, infer_feature_shape=False, max_string_domain_size=DOMAIN_SIZE
        )
    else:
        schema = schema_pb2.Schema()
        schema.CopyFrom(curated)
        others = [first, *others]
    for more in others:
        schema = tfdv.update_schema(
            schema, more, infer_feature_shape=False, max_string_domain_size=DOMAIN_SIZE
        )
    present = {feature_name(f) for s in filled.values() for f in s.datasets[0].features}
    for feature in list(schema.feature):
        # TFDV marks what it can't reconcile as deprecated; here it is simply gone.
        if feature.name not in present and SERVING not in feature.in_environment:
            schema.feature.remove(feature)
    for feature in schema.feature:
        if feature.name not in known:
            _curate(schema, feature, filled, facts)
    if curated is None:
        schema.default_environment.extend([TRAINING, SERVING])
        fewest = min(int(s.datasets[0].num_examples) for s in filled.values())
        schema.dataset_constraints.min_examples_count = max(1, fewest // 10)
    _drop_unused_domains(schema)
    _compare(schema, [f for f in schema.feature if f.name not in known], filled, facts)
    return schema


def _curate(
    schema: schema_pb2.Schema,
    feature: schema_pb2.Feature,
    statistics: Mapping[str, Statistics],
    facts: Facts,
) -> None:
    seen = list(_columns(statistics, feature.name))
    if feature.name == facts.label:
        feature.not_in_environment.append(SERVING)
        _whole(feature)
        return
    if feature.name in facts.keys:
        # New machines come, and time goes on: neither has a domain or a range.
        _whole(feature)
        feature.ClearField("domain_info")
        return
    _presence(feature, seen, statistics)
    if feature.type == schema_pb2.BYTES:
        _text_domain(schema, feature, seen)
    elif facts.is_category(feature.name) and feature.type == schema_pb2.INT:
        feature.ClearField("domain_info")
        feature.int_domain.is_categorical = True
    elif feature.type == schema_pb2.FLOAT:
        _float_range(feature, seen, facts)
    elif not feature.HasField("bool_domain") or facts.is_windowed(feature.name):
        _int_range(feature, seen)


def _columns(
    statistics: Mapping[str, Statistics], name: str
) -> Iterable[statistics_pb2.FeatureNameStatistics]:
    for numbers in statistics.values():
        for feature in numbers.datasets[0].features:
            if feature_name(feature) == name:
                yield feature


def _whole(feature: schema_pb2.Feature) -> None:
    feature.presence.min_fraction = 1.0
    feature.presence.min_count = 1


def _presence(
    feature: schema_pb2.Feature,
    seen: list[statistics_pb2.FeatureNameStatistics],
    statistics: Mapping[str, Statistics],
) -> None:
    """Nine tenths of what is there now: a dead sensor shows, an ordinary gap doesn't."""
    shares = []
    for numbers, column in zip(statistics.values(), seen, strict=False):
        shares.append(common_stats(column).num_non_missing / numbers.datasets[0].num_examples)
    share = min(shares) if len(shares) == len(statistics) else 0.0
    feature.presence.min_count = 1
    feature.presence.ClearField("min_fraction")
    if share >= 0.1:
        feature.presence.min_fraction = math.floor(share * 90) / 100


def _text_domain(
    schema: schema_pb2.Schema,
    feature: schema_pb2.Feature,
    seen: list[statistics_pb2.FeatureNameStatistics],
) -> None:
    unique = max((column.string_stats.unique for column in seen), default=0)
    count = sum(common_stats(column).num_non_missing for column in seen)
    if unique > DOMAIN_SIZE or count < REPEATS * unique:
        feature.ClearField("domain_info")
    elif feature.domain:
        feature.distribution_constraints.min_domain_mass = DOMAIN_MASS


def _float_range(
    feature: schema_pb2.Feature,
    seen: list[statistics_pb2.FeatureNameStatistics],
    facts: Facts,
) -> None:
    """The possible range where settings tell it; else the seen one, widened by its own width."""
    low, high = facts.ranges.get(feature.name, (None, None))
    domain = feature.float_domain
    if feature.name not in facts.ranges and not facts.is_windowed(feature.name):
        lows, highs = _extremes(seen)
        if lows < highs and math.isfinite(highs - lows):
            width = highs - lows
            low = 0.0 if lows >= 0 else _round(lows - width, math.floor)
            high = 0.0 if highs <= 0 else _round(highs + width, math.ceil)
    if low is not None:
        domain.min = low
    if high is not None:
        domain.max = high
    domain.disallow_nan = True
    domain.disallow_inf = True


def _int_range(
    feature: schema_pb2.Feature, seen: list[statistics_pb2.FeatureNameStatistics]
) -> None:
    feature.ClearField("domain_info")
    low, _ = _extremes(seen)
    if low >= 0:
        feature.int_domain.min = 0


def _extremes(seen: list[statistics_pb2.FeatureNameStatistics]) -> tuple[float, float]:
    numbers = [column.num_stats for column in seen if common_stats(column).num_non_missing]
    if not numbers:
        return 0.0, 0.0
    return min(n.min for n in numbers), max(n.max for n in numbers)


def _round(value: float, way: Callable[[float], int]) -> float:
    """A bound of two digits, so that two runs on nearly the same data propose the same."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{way(value / unit) * unit:.6g}")


def _drop_unused_domains(schema: schema_pb2.Schema) -> None:
    used = {feature.domain for feature in schema.feature}
    for domain in list(schema.string_domain):
        if domain.name not in used:
            schema.string_domain.remove(domain)


def _compare(
    schema: schema_pb2.Schema,
    new: list[schema_pb2.Feature],
    statistics: Mapping[str, Statistics],
    facts: Facts,
) -> None:
    """Gives comparators to new features that hold still between train and eval."""
    skip = facts.keys | {facts.label}
    compared = [f for f in new if f.name not in skip and _measurable(f)]
    moved = _moved(schema, compared, statistics)
    for feature in compared:
        distance = moved.get(feature.name, 0.0)
        if distance > UNSTEADY:
            continue
        threshold = max(MOVED, math.ceil(distance * 20) / 10)
        for comparator in (feature.drift_comparator, feature.skew_comparator):
            _measure(feature, comparator).threshold = threshold


def _measurable(feature: schema_pb2.Feature) -> bool:
    return feature.type in (schema_pb2.INT, schema_pb2.FLOAT) or bool(feature.domain)


def _measure(
    feature: schema_pb2.Feature, comparator: schema_pb2.FeatureComparator
) -> schema_pb2.InfinityNorm | schema_pb2.JensenShannonDivergence:
    if feature.type == schema_pb2.BYTES or feature.int_domain.is_categorical:
        return comparator.infinity_norm
    return comparator.jensen_shannon_divergence


def _moved(
    schema: schema_pb2.Schema,
    compared: list[schema_pb2.Feature],
    statistics: Mapping[str, Statistics],
) -> dict[str, float]:
    """How far each feature moves from train to eval, as TFDV measures it."""
    if not {"train", "eval"} <= set(statistics):
        return {}
    names = {feature.name for feature in compared}
    probe = schema_pb2.Schema()
    probe.CopyFrom(schema)
    for feature in probe.feature:
        feature.ClearField("drift_comparator")
        feature.ClearField("skew_comparator")
        if feature.name in names:
            _measure(feature, feature.skew_comparator).threshold = 1.0
    told = tfdv.validate_statistics(
        statistics["train"], probe, serving_statistics=statistics["eval"]
    )
    return {
        ".".join(info.path.step): measurement.value
        for info in told.drift_skew_info
        for measurement in info.skew_measurements
    }

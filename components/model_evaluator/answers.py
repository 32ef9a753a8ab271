"""Metrics of TFMA's kind that keep what a picture needs and TFMA's own plots lack.

Their values are JSON texts: TFMA subtracts the champion's value from any number or array.
"""

import collections
import heapq
import json
import random
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

CLASS_COUNTS, ANSWER_SAMPLE = "class_counts", "answer_sample"
_SAMPLE = 600

_Sample = list[tuple[float, float, float]]


class ClassCounts(metric_types.Metric):
    """How often each class was taken for which: ``[[actual, predicted, count], ...]``.

    TFMA's plot of a confusion matrix numbers the classes; here they have their names.
    """

    def __init__(self, name: str = CLASS_COUNTS) -> None:
        super().__init__(_computations(_CountClasses), name=name)


class AnswerSample(metric_types.Metric):
    """Some answers beside the labels, drawn evenly: ``[[actual, predicted], ...]``.

    TFMA's calibration plot must know the label's range, and shows no single answer.
    """

    def __init__(self, name: str = ANSWER_SAMPLE) -> None:
        super().__init__(_computations(_DrawSample), name=name)


def _computations(combiner: type[beam.CombineFn]) -> Any:
    def computations(
        eval_config: config_pb2.EvalConfig | None = None,
        model_names: list[str] | None = None,
        output_names: list[str] | None = None,
        name: str = "",
        **_: Any,
    ) -> metric_types.MetricComputations:
        keys = [
            metric_types.MetricKey(name=name, model_name=model, output_name=output)
            for model in model_names or [""]
            for output in output_names or [""]
        ]
        return [
            metric_types.MetricComputation(
                keys=[key], preprocessors=None, combiner=combiner(key, eval_config)
            )
            for key in keys
        ]

    return computations


class _CountClasses(beam.CombineFn):
    def __init__(self, key: metric_types.MetricKey, _: config_pb2.EvalConfig | None) -> None:
        self._key = key

    def create_accumulator(self) -> collections.Counter[tuple[str, str]]:
        return collections.Counter()

    def add_input(
        self,
        counts: collections.Counter[tuple[str, str]],
        element: metric_types.StandardMetricInputs,
    ) -> collections.Counter[tuple[str, str]]:
        model = self._key.model_name
        label = _first(element.get_labels(model, self._key.output_name))
        answer = element.get_predictions(model, self._key.output_name)
        names = np.ravel(answer["all_classes"])
        counts[label, _text(names[int(np.argmax(np.ravel(answer["probabilities"])))])] += 1
        return counts

    def merge_accumulators(
        self, parts: Iterable[collections.Counter[tuple[str, str]]]
    ) -> collections.Counter[tuple[str, str]]:
        total: collections.Counter[tuple[str, str]] = collections.Counter()
        for part in parts:
            total.update(part)
        return total

    def extract_output(
        self, counts: collections.Counter[tuple[str, str]]
    ) -> dict[metric_types.MetricKey, str]:
        return {self._key: json.dumps([[*names, count] for names, count in sorted(counts.items())])}


class _DrawSample(beam.CombineFn):
    """Keeps the pairs with the highest random numbers: so parts of any size can be merged."""

    def __init__(
        self, key: metric_types.MetricKey, eval_config: config_pb2.EvalConfig | None
    ) -> None:
        self._key, self._config = key, eval_config

    def create_accumulator(self) -> _Sample:
        return []

    def add_input(self, kept: _Sample, element: metric_types.StandardMetricInputs) -> _Sample:
        for label, prediction, _ in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
        ):
            entry = (random.random(), label.item(), prediction.item())
            if len(kept) < _SAMPLE:
                heapq.heappush(kept, entry)
            else:
                heapq.heappushpop(kept, entry)
        return kept

    def merge_accumulators(self, parts: Iterable[_Sample]) -> _Sample:
        merged = heapq.nlargest(_SAMPLE, (entry for part in parts for entry in part))
        heapq.heapify(merged)
        return merged

    def extract_output(self, kept: _Sample) -> dict[metric_types.MetricKey, str]:
        return {self._key: json.dumps([pair for _, *pair in sorted(kept)])}


def _first(labels: Any) -> str:
    return _text(np.ravel(labels)[0])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

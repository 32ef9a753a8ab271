"""What versions answer, as counts by size: so that a canary's answers show beside the stable ones.

Bins grow by a ninth (2 to the power of 1/8), as those of Prometheus' native histograms of schema 3
do, https://prometheus.io/docs/specs/native_histograms/: they fit probabilities and regressions of
any unit. Its text format has no such histograms, so each bin that was hit is a counter. Below 1/128
all is one bin: of a probability that small two good models may well say 0.001 and 0.004.
"""

import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

NAME = "serving_answer_values_total"
CLASSES = 10
"""Of an output with more columns the first ones are counted."""
_FLUSH = 512
_STEPS = 8
_LOWEST, _HIGHEST = -7, 40


class AnswerValues:
    """Counts one row, drawn at random, of each answer; used on one thread.

    Of one row, as traffic is split by request: rows that came together are alike, and to count them
    all would make a few large requests to one version look like a difference between versions.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int, str, int], list[float | list[float]]] = {}
        self._counts: dict[tuple[str, int, str, str], dict[int, int]] = {}

    def add(self, model: str, version: int, outputs: Mapping[str, np.ndarray]) -> None:
        """Takes in an answer.

        Args:
          model: the model's name.
          version: which answered.
          outputs: by name; numbers of shape [rows] or [rows, columns] count, others do not.
        """
        for name, array in outputs.items():
            if array.dtype.kind not in "fiu" or not 1 <= array.ndim <= 2 or not array.size:
                continue
            row = int(random.random() * len(array))
            value = array.item(row) if array.ndim == 1 else array[row, :CLASSES].tolist()
            key = (model, version, name, 0 if array.ndim == 1 else len(value))
            waiting = self._waiting.setdefault(key, [])
            waiting.append(value)
            if len(waiting) >= _FLUSH:
                self._count(key)

    def write(self, lines: list[str]) -> None:
        """Adds the counters in Prometheus' text format to ``lines``."""
        for key in self._waiting:
            self._count(key)
        lines += [
            f"# HELP {NAME} Values answered, one row an answer, by upper edge of their size.",
            f"# TYPE {NAME} counter",
        ]
        for (model, version, output, column), counts in self._counts.items():
            labels = pairs_of(
                ("model_name", "version", "output", "class"),
                (model, str(version), output, column),
            )
            for place, count in counts.items():
                lines.append(f'{NAME}{{{labels},bin="{_edge(place):.4g}"}} {count}')

    def _count(self, key: tuple[str, int, str, int]) -> None:
        waiting = self._waiting[key]
        if not waiting:
            return
        values = np.array(waiting, np.float64).reshape(len(waiting), -1)
        waiting.clear()
        model, version, name, width = key
        for column in range(values.shape[1]):
            label = str(column) if width > 1 else ""
            counts = self._counts.setdefault((model, version, name, label), {})
            places, numbers = np.unique(_places(values[:, column]), return_counts=True)
            for place, number in zip(places.tolist(), numbers.tolist(), strict=True):
                counts[place] = counts.get(place, 0) + number


def pairs_of(labels: Sequence[str], values: Sequence[str]) -> str:
    """Labels as Prometheus' text format has them."""
    escaped = (
        value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for value in values
    )
    return ",".join(f'{label}="{value}"' for label, value in zip(labels, escaped, strict=True))


def _places(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Each finite value's bin: 0 around zero, then outwards in both directions."""
    values = values[np.isfinite(values)]
    with np.errstate(divide="ignore"):
        powers = np.clip(np.log2(np.abs(values)), _LOWEST, _HIGHEST)
    places = np.ceil((powers - _LOWEST) * _STEPS - 1e-9)
    return (np.sign(values) * places).astype(np.int64)


def _edge(place: int) -> float:
    """The edge of a bin that is further from zero."""
    size = 2.0 ** (_LOWEST + abs(place) / _STEPS)
    return -size if place < 0 else size

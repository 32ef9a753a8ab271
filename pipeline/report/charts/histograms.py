"""Two distributions over one axis, or over the same names: train against eval."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.report import numbers
from pipeline.report.charts import scales
from pipeline.report.charts.frame import frame
from pipeline.report.charts.svg import chart, path, shorten, tag, text

_WIDTH, _HEIGHT = 330.0, 130.0


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Shares of examples by bucket.

    Attributes:
      name: of the series.
      edges: [n + 1], ascending; where the buckets' names are given, unused.
      shares: [n], of 1.
    """

    name: str
    edges: npt.ArrayLike
    shares: npt.ArrayLike


def histograms(
    series: Sequence[Histogram], label: str, *, names: Sequence[str] | None = None, unit: str = ""
) -> Markup:
    """Draws the first as an area, the others as lines above it; with names, as pairs of bars.

    All are put into common buckets over the range of all: each has buckets of its own over its own
    range, whose heights do not compare.

    Args:
      series: at most four.
      label: what the picture shows, for who can't see it.
      names: of the buckets, where they are categories.
      unit: below the axis.
    """
    if names is not None:
        return _by_name(series, label, names)
    every = [np.asarray(one.edges, float) for one in series if np.size(one.edges) > 1]
    low = min((float(edges[0]) for edges in every), default=0.0)
    high = max((float(edges[-1]) for edges in every), default=1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    most = max((np.size(one.shares) for one in series), default=1) or 1
    edges = np.linspace(low, high, most + 1)
    heights = [_rebin(one, edges) for one in series]
    highest = max(float(found.max()) for found in heights) or 1.0
    shown = [(highest, numbers.percent(highest))]
    placed = frame(
        (low, high),
        (0.0, highest),
        width=_WIDTH,
        height=_HEIGHT,
        y_names=[shown[0][1]],
        top=8,
        bottom=36,
    )
    ticks = scales.ticks(low, high, 4)
    named = list(zip(ticks, scales.names(ticks), strict=True))
    inside = list(placed.axes(unit, "", named, y_names=shown))
    for number, found in enumerate(heights, 1):
        points = [(placed.x(x), placed.y(y)) for x, y in _outline(edges, found)]
        if number == 1:
            inside.append(path(points, "fill area s1", close=True))
        inside.append(path(points, f"line s{number}"))
    return chart(_WIDTH, _HEIGHT - (0 if unit else 14), label, inside)


def _rebin(one: Histogram, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shares by common buckets: each own bucket's goes to those that it lies in, by its width."""
    own, shares = np.asarray(one.edges, float), np.asarray(one.shares, float)
    if own.size < 2:
        return np.zeros(len(edges) - 1)
    # Buckets of one value have no width; they are counted whole where they lie.
    lows, highs = own[:-1], np.maximum(own[1:], own[:-1] + (edges[-1] - edges[0]) * 1e-9)
    below = np.clip((edges[:, None] - lows) / (highs - lows), 0, 1) @ shares
    below[-1] = shares.sum()
    return np.asarray(np.diff(below), float)


def _outline(
    edges: npt.NDArray[np.float64], heights: npt.NDArray[np.float64]
) -> list[tuple[float, float]]:
    x, y = np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _by_name(series: Sequence[Histogram], label: str, names: Sequence[str]) -> Markup:
    row, left, right = 11.0 * len(series) + 8, 108.0, 56.0
    highest = max((float(np.max(one.shares)) for one in series if np.size(one.shares)), default=1.0)
    inside: list[Markup] = []
    for place, name in enumerate(names):
        top = place * row
        middle = top + row / 2
        inside.append(
            tag("g", tag("title", name), text(0, middle + 4, shorten(name, left - 8), "ink"))
        )
        for number, one in enumerate(series, 1):
            share = float(np.asarray(one.shares, float)[place])
            y = top + 3 + (number - 1) * 11
            inside.append(
                tag(
                    "rect",
                    tag("title", f"{one.name}: {name}: {numbers.percent(share)}"),
                    x=left,
                    y=y,
                    width=max(share / (highest or 1.0) * (_WIDTH - left - right), 1.0),
                    height=9.0,
                    class_=f"fill s{number}",
                )
            )
        first = float(np.asarray(series[0].shares, float)[place]) if series else 0.0
        inside.append(text(_WIDTH, middle + 4, numbers.percent(first), anchor="end"))
    return chart(_WIDTH, len(names) * row, label, inside)

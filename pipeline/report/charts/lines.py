"""Lines over an axis: learning curves, ROC, precision and recall, calibration."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.report.charts.frame import frame, legend
from pipeline.report.charts.scales import domain, tip
from pipeline.report.charts.svg import chart, path, tag, text

_DOTS = 40


@dataclasses.dataclass(frozen=True)
class Line:
    """A series.

    Attributes:
      name: in the legend.
      x: values, [n].
      y: values, [n]; NaN parts the line.
      low: the interval's lower ends, [n], drawn as a band.
      high: its upper ends.
    """

    name: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    low: npt.ArrayLike | None = None
    high: npt.ArrayLike | None = None


def lines(
    series: Sequence[Line],
    label: str,
    *,
    x_label: str = "",
    y_label: str = "",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    ideal: Iterable[tuple[float, float]] = (),
    mark: tuple[float, str] | None = None,
    dots: bool = False,
) -> Markup:
    """Draws lines.

    Args:
      series: at most four.
      label: what the picture shows, for who can't see it.
      x_label: with its unit.
      y_label: with its unit.
      x_range: lowest and highest value shown; None for what the series need.
      y_range: as ``x_range``.
      ideal: points of a dotted line to compare with.
      mark: an x at which a dashed line stands, and its name.
      dots: whether points are marked; those of few are in any case, and told on hovering.
    """
    xs = [np.asarray(one.x, float) for one in series]
    ys = [np.asarray(one.y, float) for one in series]
    ends = [
        np.asarray(end, float) for one in series for end in (one.low, one.high) if end is not None
    ]
    placed = frame(x_range or _bounds(xs), y_range or domain(np.concatenate([*ys, *ends]).tolist()))
    inside: list[Markup] = list(placed.axes(x_label, y_label))
    if ideal:
        inside.append(path([(placed.x(x), placed.y(y)) for x, y in ideal], "ideal"))
    if mark is not None:
        x = placed.x(mark[0])
        inside.append(tag("line", x1=x, x2=x, y1=placed.y.begin, y2=placed.y.end, class_="mark"))
        left = x < (placed.x.begin + placed.x.end) / 2
        where = x + 5 if left else x - 5
        inside.append(
            text(where, placed.y.end + 10, mark[1], "ink", anchor="start" if left else "end")
        )
    for number, (one, x_values, y_values) in enumerate(zip(series, xs, ys, strict=True), 1):
        across = [placed.x(value) for value in x_values]
        if one.low is not None and one.high is not None:
            up = [placed.y(value) for value in np.asarray(one.high, float)]
            down = [placed.y(value) for value in np.asarray(one.low, float)]
            band = [*zip(across, up, strict=True), *reversed([*zip(across, down, strict=True)])]
            inside.append(path(band, f"fill area s{number}", close=True))
        heights = [placed.y(value) for value in y_values]
        inside.append(path(zip(across, heights, strict=True), f"line s{number}"))
        if dots or len(across) <= _DOTS:
            inside += [
                tag(
                    "circle",
                    tag("title", tip(value, height, one.name)),
                    cx=x,
                    cy=y,
                    r=3.0,
                    class_=f"fill s{number}",
                )
                for x, y, value, height in zip(across, heights, x_values, y_values, strict=True)
                if np.isfinite(y)
            ]
    named = [(one.name, f"s{number}") for number, one in enumerate(series, 1)]
    bottom = placed.height
    if len(series) > 1:
        inside += legend(named, bottom + 16)
        bottom += 22
    return chart(placed.width, bottom, label, inside)


def _bounds(values: Sequence[npt.NDArray[np.float64]]) -> tuple[float, float]:
    every = np.concatenate(values)
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)

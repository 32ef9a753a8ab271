"""Axes, grid and legend around what is drawn."""

import dataclasses
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from pipeline.report.charts import scales
from pipeline.report.charts.scales import Scale
from pipeline.report.charts.svg import WIDTH, tag, text, width_of


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where a chart's values lie: x to the right, y upwards.

    Attributes:
      x: scale.
      y: scale; its begin is the lower pixel.
      width: of the whole picture.
      height: of the whole picture.
    """

    x: Scale
    y: Scale
    width: float
    height: float

    def axes(
        self,
        x_label: str,
        y_label: str,
        x_names: Sequence[tuple[float, str]] | None = None,
        y_names: Sequence[tuple[float, str]] | None = None,
    ) -> Iterator[Markup]:
        """The grid, the ticks' names, and what is shown with its unit.

        Args:
          x_label: below the x axis.
          y_label: above the y axis.
          x_names: ticks and their names; None for round numbers.
          y_names: as ``x_names``.
        """
        left, right, low, high = self.x.begin, self.x.end, self.y.begin, self.y.end
        for value, name in _ticks(self.y, 5) if y_names is None else y_names:
            y = self.y(value)
            yield tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid")
            yield text(left - 6, y + 4, name, anchor="end")
        yield tag("line", x1=left, x2=right, y1=low, y2=low, class_="axis")
        shown_to = -1e9
        for value, name in _ticks(self.x, 5) if x_names is None else x_names:
            x, half = self.x(value), width_of(name) / 2
            yield tag("line", x1=x, x2=x, y1=low, y2=low + 4, class_="axis")
            middle = min(max(x, half), self.width - half)
            if middle - half > shown_to:
                yield text(middle, low + 17, name, anchor="middle")
                shown_to = middle + half + 4
        if x_label:
            yield text((left + right) / 2, low + 33, x_label, anchor="middle")
        if y_label:
            yield text(0, high - 10, y_label)


def frame(
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    width: float = WIDTH,
    height: float = 230.0,
    y_names: Sequence[str] | None = None,
    top: float = 22.0,
    bottom: float = 38.0,
) -> Frame:
    """A frame whose left margin has room for the y axis' names.

    Args:
      x: lowest and highest value shown.
      y: lowest and highest value shown.
      width: in pixels.
      height: in pixels.
      y_names: names at the y axis where they are not round numbers.
      top: room for the y axis' label.
      bottom: room for the x axis.
    """
    if y_names is None:
        y_names = [name for _, name in _ticks(Scale(*y, 0, 1), 5)]
    left = max((width_of(name) for name in y_names), default=0.0) + 10
    return Frame(Scale(*x, left, width - 10), Scale(*y, height - bottom, top), width, height)


def legend(entries: Sequence[tuple[str, str]], y: float, left: float = 0.0) -> Iterator[Markup]:
    """Names with their series' stroke, side by side.

    Args:
      entries: name and class (``s1`` …).
      y: pixel of the text's base.
      left: pixel at which it begins.
    """
    for name, class_ in entries:
        yield tag("line", x1=left, x2=left + 20, y1=y - 4, y2=y - 4, class_=f"line {class_}")
        yield text(left + 25, y, name, class_)
        left += 25 + width_of(name) * 1.08 + 14


def _ticks(scale: Scale, most: int) -> list[tuple[float, str]]:
    values = scales.ticks(scale.low, scale.high, most)
    return list(zip(values, scales.names(values), strict=True))

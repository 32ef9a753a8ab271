"""Values with their intervals, one above the other: a metric by slice against the champion."""

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup

from pipeline.report import numbers
from pipeline.report.charts import scales
from pipeline.report.charts.frame import frame
from pipeline.report.charts.svg import WIDTH, chart, shorten, tag, text

_ROW = 30.0
_LEFT = 120.0


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value with its interval, if there is one, and what it is compared with, if anything."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    before: float | None = None


def intervals(
    rows: Sequence[Interval],
    label: str,
    *,
    names: tuple[str, str] = ("candidate", "champion"),
    x_label: str = "",
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Draws a dot for each value, a line for its interval, a diamond around what was before.

    Args:
      rows: from above to below.
      label: what the picture shows, for who can't see it.
      names: of value and ``before``, in the legend.
      x_label: with its unit.
      mark: a value at which a dashed line stands, and its name.
    """
    known = [
        value
        for row in rows
        for value in (row.value, row.low, row.high, row.before)
        if value is not None
    ] + ([mark[0]] if mark else [])
    height = len(rows) * _ROW + 20 + 38
    placed = frame(scales.domain(known), (0, 1), height=height, y_names=[])
    placed = type(placed)(
        scales.Scale(placed.x.low, placed.x.high, _LEFT, WIDTH - 10), placed.y, WIDTH, height
    )
    inside: list[Markup] = list(placed.axes(x_label, "", y_names=[]))
    for number, row in enumerate(rows):
        y = 20 + number * _ROW + _ROW / 2
        inside.append(tag("line", x1=_LEFT, x2=WIDTH - 10, y1=y, y2=y, class_="grid"))
        inside.append(
            tag("g", tag("title", row.name), text(0, y + 4, shorten(row.name, _LEFT - 8), "ink"))
        )
        if row.low is not None and row.high is not None:
            inside.append(
                tag(
                    "line",
                    x1=placed.x(row.low),
                    x2=placed.x(row.high),
                    y1=y,
                    y2=y,
                    class_="line s1",
                )
            )
        if row.value is not None:
            inside.append(
                tag(
                    "circle",
                    tag("title", f"{row.name}, {names[0]}: {numbers.decimal(row.value)}"),
                    cx=placed.x(row.value),
                    cy=y,
                    r=4.5,
                    class_="fill s1",
                )
            )
        if row.before is not None:
            x = placed.x(row.before)
            inside.append(
                tag(
                    "path",
                    tag("title", f"{row.name}, {names[1]}: {numbers.decimal(row.before)}"),
                    d=f"M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7Z",
                    class_="outline s2",
                )
            )
    if mark is not None:
        x = placed.x(mark[0])
        inside.append(tag("line", x1=x, x2=x, y1=16, y2=placed.y.begin, class_="mark"))
        inside.append(text(x, 12, mark[1], "ink", anchor="middle"))
    if any(row.before is not None for row in rows):
        inside += [
            text(0, height + 14, f"● {names[0]}", "s1"),
            text(WIDTH / 3, height + 14, f"◇ {names[1]}", "s2"),
        ]
        height += 20
    return chart(WIDTH, height, label, inside)

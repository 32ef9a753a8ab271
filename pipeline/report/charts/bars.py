"""Horizontal bars with their names and values: counts by reason, durations."""

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup

from pipeline.report.charts.scales import Scale
from pipeline.report.charts.svg import WIDTH, chart, shorten, tag, text, width_of

_ROW, _TALL_ROW = 24.0, 38.0


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar: its name, value, what is written behind it, and ``s1``, ``good``, ``bad``, …"""

    name: str
    value: float
    shown: str
    class_: str = "s1"
    tip: str = ""


def bars(
    rows: Sequence[Bar], label: str, *, mark: tuple[float, str] | None = None, width: float = WIDTH
) -> Markup:
    """Draws bars from 0 to the right; long names stand above their bars.

    Args:
      rows: from above to below; values from 0.
      label: what the picture shows, for who can't see it.
      mark: a value at which a dashed line stands, and its name.
      width: in pixels.
    """
    widest = max((width_of(row.name) for row in rows), default=0.0)
    above = widest > width * 0.36
    left = 0.0 if above else widest + 8
    room = 0.0 if above else max((width_of(row.shown) for row in rows), default=0.0) + 10
    high = _TALL_ROW if above else _ROW
    highest = max([row.value for row in rows] + ([mark[0]] if mark else [])) or 1.0
    scale = Scale(0.0, highest, left, width - room)
    top = 24.0 if mark else 0.0
    inside: list[Markup] = []
    values: list[Markup] = []
    for number, row in enumerate(rows):
        y = top + number * high
        drawn = max(scale(row.value) - left, 1.5 if row.value else 0.0)
        words = tag("title", row.tip or f"{row.name}: {row.shown}")
        name = shorten(row.name, width - width_of(row.shown) - 10) if above else row.name
        inside += [
            tag("g", words, text(0, y + (12 if above else 16), name, "ink")),
            tag(
                "rect",
                words,
                x=left,
                y=y + (18 if above else 4),
                width=drawn,
                height=12 if above else 16,
                rx=2,
                class_=f"fill {row.class_}",
            ),
        ]
        values.append(
            text(width - (8 if mark else 0), y + 12, row.shown, "halo", anchor="end")
            if above
            else text(left + drawn + 6, y + 16, row.shown, "halo")
        )
    height = top + len(rows) * high
    if mark is not None:
        x = scale(mark[0])
        inside.append(tag("line", x1=x, x2=x, y1=16, y2=height, class_="mark"))
        half = width_of(mark[1]) / 2
        inside.append(text(min(max(x, half), width - half), 11, mark[1], "ink", anchor="middle"))
    return chart(width, height, label, inside, values)

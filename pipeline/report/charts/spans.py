"""Stretches of time, one row each: where the data lies, and how it is split."""

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup

from pipeline.report import numbers
from pipeline.report.charts import scales
from pipeline.report.charts.svg import chart, shorten, tag, text, width_of

_ROW = 28.0


@dataclasses.dataclass(frozen=True)
class Span:
    """A stretch of time.

    Attributes:
      row: the row that it stands in; rows stand in the order in which they are first named.
      begin: seconds since the epoch.
      end: seconds since the epoch.
      class_: ``s1``, ``quiet``, ``bad``, …
      words: written inside, where there is room; else what stands before a colon.
      tip: told on hovering.
    """

    row: str
    begin: float
    end: float
    class_: str = "s1"
    words: str = ""
    tip: str = ""


def spans(
    stretches: Sequence[Span],
    label: str,
    *,
    marks: Sequence[tuple[float, str]] = (),
    width: float = 1040.0,
    class_: str = "",
) -> Markup:
    """Draws stretches over one axis of time.

    Args:
      stretches: at least one.
      label: what the picture shows, for who can't see it.
      marks: times at which dashed lines stand, and their names.
      width: in pixels.
      class_: ``broad`` or ``narrow``, where a page shows another one on phones or elsewhere.
    """
    rows = list(dict.fromkeys(one.row for one in stretches))
    times = [time for one in stretches for time in (one.begin, one.end)]
    times += [time for time, _ in marks]
    low, high = min(times), max(times)
    high = high if high > low else low + 1
    left = min(max(width_of(row) for row in rows) + 12, width * 0.28)
    scale = scales.Scale(low, high, left, width - 12)
    top = 20.0 if marks else 4.0
    bottom = top + len(rows) * _ROW
    inside: list[Markup] = []
    for time, name in scales.time_ticks(low, high, max(int((width - left) / 110), 2)):
        x, half = scale(time), width_of(name) / 2
        inside.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        inside.append(text(min(max(x, left), width - half), bottom + 17, name, anchor="middle"))
    for number, row in enumerate(rows):
        y = top + number * _ROW
        inside.append(tag("g", tag("title", row), text(0, y + 18, shorten(row, left - 10), "ink")))
        for one in stretches:
            if one.row == row:
                inside += _stretch(one, scale, y)
    for time, name in marks:
        x, half = scale(time), width_of(name) / 2
        inside.append(tag("line", x1=x, x2=x, y1=16, y2=bottom, class_="mark"))
        inside.append(text(min(x, width - half), 12, name, "ink", anchor="middle"))
    inside.append(tag("line", x1=left, x2=width - 12, y1=bottom, y2=bottom, class_="axis"))
    return chart(width, bottom + 24, label, inside, class_=class_)


def _stretch(one: Span, scale: scales.Scale, y: float) -> list[Markup]:
    begin, end = scale(one.begin), scale(one.end)
    wide = max(end - begin, 2.0)
    told = one.tip or f"{one.row}: {numbers.duration(one.end - one.begin)}"
    drawn = [
        tag(
            "rect",
            tag("title", told),
            x=begin,
            y=y + 5,
            width=wide,
            height=_ROW - 9,
            rx=2,
            class_=f"fill band {one.class_}",
        )
    ]
    for words in (one.words, one.words.partition(":")[0]):
        if words and width_of(words) + 4 < wide:
            drawn.append(text(begin + wide / 2, y + 19, words, "ink", anchor="middle"))
            break
    return drawn

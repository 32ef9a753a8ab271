"""A table of counts as shaded cells: the confusion matrix."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.report import numbers
from pipeline.report.charts.svg import WIDTH, chart, shorten, tag, text

_LEFT, _TOP = 96.0, 42.0


def matrix(
    counts: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    *,
    row_label: str = "actual",
    column_label: str = "predicted",
) -> Markup:
    """Draws counts, shaded by their share of the row.

    Args:
      counts: [rows, columns].
      rows: names.
      columns: names.
      label: what the picture shows, for who can't see it.
      row_label: what rows are.
      column_label: what columns are.
    """
    table = np.asarray(counts, float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1e-9)
    wide = (WIDTH - _LEFT) / max(len(columns), 1)
    high = min(max(wide, 26.0), 64.0)
    inside = [
        text(_LEFT + (WIDTH - _LEFT) / 2, 12, column_label, anchor="middle"),
        text(0, _TOP - 8, row_label),
    ]
    inside += [
        text(_LEFT + (place + 0.5) * wide, _TOP - 8, shorten(name, wide), "ink", anchor="middle")
        for place, name in enumerate(columns)
    ]
    for i, row in enumerate(rows):
        y = _TOP + i * high
        inside.append(text(0, y + high / 2 + 4, shorten(row, _LEFT - 6), "ink"))
        for j, column in enumerate(columns):
            x, share = _LEFT + j * wide, float(shares[i, j])
            told = f"{row_label} {row}, {column_label} {column}: {numbers.count(table[i, j])}"
            inside.append(
                tag(
                    "rect",
                    tag("title", f"{told}, {numbers.percent(share)} of the row"),
                    x=x + 1,
                    y=y + 1,
                    width=wide - 2,
                    height=high - 2,
                    fill_opacity=f"{0.08 + 0.42 * share:.3f}",
                    class_="fill s1",
                )
            )
            if wide >= 34:
                two = wide >= 60 and high >= 44
                middle, base = x + wide / 2, y + high / 2 + (-2 if two else 4)
                shown = numbers.count(table[i, j]) if wide >= 56 else numbers.percent(share)
                inside.append(text(middle, base, shown, "ink", anchor="middle"))
                if two:
                    inside.append(
                        text(middle, base + 16, numbers.percent(share), "ink", anchor="middle")
                    )
    return chart(WIDTH, _TOP + len(rows) * high + 2, label, inside)

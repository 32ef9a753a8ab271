"""Many points over two axes: predicted against actual, residuals."""

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.report.charts.frame import frame
from pipeline.report.charts.scales import domain
from pipeline.report.charts.svg import chart, path, tag


def points(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    label: str,
    *,
    x_label: str = "",
    y_label: str = "",
    diagonal: bool = False,
) -> Markup:
    """Draws points.

    Args:
      x: [n].
      y: [n].
      label: what the picture shows, for who can't see it.
      x_label: with its unit.
      y_label: with its unit.
      diagonal: whether both axes are the same, with a dotted line where x is y; else where y is 0.
    """
    across, up = np.asarray(x, float), np.asarray(y, float)
    if diagonal:
        both = domain(np.concatenate([across, up]).tolist())
        placed, ideal = frame(both, both), [(end, end) for end in both]
    else:
        span = domain(across.tolist())
        placed = frame(span, domain(up.tolist(), zero=True))
        ideal = [(end, 0.0) for end in span]
    inside = list(placed.axes(x_label, y_label))
    inside.append(path([(placed.x(a), placed.y(b)) for a, b in ideal], "ideal"))
    # One path of dots: a thousand circles would be ten times its size.
    dots = "".join(
        f"M{placed.x(a):.0f} {placed.y(b):.0f}h0" for a, b in zip(across, up, strict=True)
    )
    inside.append(tag("path", d=dots, class_="dots s1"))
    return chart(placed.width, placed.height, label, inside)

"""Stages and what goes from one to the next, in layers."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from markupsafe import Markup

from pipeline.report.charts.svg import chart, shorten, tag, text

_WIDTH = 1040.0
_BOX = 52.0
_ROW = 64.0
_GAP = 38.0
_BETWEEN = 34.0


@dataclasses.dataclass(frozen=True)
class Node:
    """A box.

    Attributes:
      name: which edges name it by.
      title: its first line.
      words: its second.
      class_: ``good``, ``warn``, ``bad`` or ``quiet``.
      tip: told on hovering.
    """

    name: str
    title: str
    words: str = ""
    class_: str = "quiet"
    tip: str = ""


def graph(
    nodes: Sequence[Node], edges: Iterable[tuple[str, str]], label: str, *, class_: str = ""
) -> Markup:
    """Draws boxes in layers from left to right, each left of all that takes something from it.

    The second half of the layers stands below the first.

    Args:
      nodes: each after those that it takes something from.
      edges: from and to; those that a longer way implies are left out.
      label: what the picture shows, for who can't see it.
      class_: ``broad`` where a page shows something else on phones.
    """
    order = {node.name: number for number, node in enumerate(nodes)}
    reduced = _reduce(order, edges)
    layers = _layers(order, reduced)
    columns: dict[int, list[Node]] = collections.defaultdict(list)
    for node in nodes:
        columns[layers[node.name]].append(node)
    across = -(-len(columns) // 2) if len(columns) > 6 else len(columns)
    wide = (_WIDTH - (across - 1) * _GAP) / across
    places: dict[str, tuple[float, float]] = {}
    tops, below = [], 0.0
    for first in range(0, len(columns), across):
        band = [columns[layer] for layer in range(first, min(first + across, len(columns)))]
        height = max(map(len, band)) * _ROW
        tops.append(below)
        for column, members in enumerate(band):
            above = below + (height - len(members) * _ROW) / 2
            for number, node in enumerate(members):
                places[node.name] = column * (wide + _GAP), above + number * _ROW
        below += height + _BETWEEN
    lines = [
        tag("path", d=_edge(places[a], places[b], wide, tops), class_="edge") for a, b in reduced
    ]
    boxes = [element for node in nodes for element in _box(node, places[node.name], wide)]
    return chart(_WIDTH, below - _BETWEEN, label, lines, boxes, class_=class_)


def _box(node: Node, place: tuple[float, float], wide: float) -> Iterator[Markup]:
    x, y = place
    yield tag(
        "g",
        tag("title", node.tip or node.title),
        tag("rect", x=x, y=y, width=wide, height=_BOX, rx=7, class_=f"box {node.class_}"),
        text(x + 12, y + 22, shorten(node.title, wide - 24), "ink"),
        text(x + 12, y + 40, shorten(node.words, wide - 24), node.class_),
    )


def _edge(
    begin: tuple[float, float], end: tuple[float, float], wide: float, tops: Sequence[float]
) -> str:
    x, y = begin[0] + wide, begin[1] + _BOX / 2
    to_x, to_y = end[0], end[1] + _BOX / 2
    if to_x > x:
        middle = (x + to_x) / 2
        return (
            f"M{x:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        )
    # Down to the band below: out of the box's foot, along the space between, into the other's head.
    x, to_x = begin[0] + wide / 2, end[0] + wide / 2
    foot = begin[1] + _BOX
    between = max(top for top in tops if top <= end[1]) - _BETWEEN / 2 - (_ROW - _BOX) / 2
    return f"M{x:.1f} {foot:.1f}V{between:.1f}H{to_x:.1f}V{end[1]:.1f}"


def _reduce(order: Mapping[str, int], edges: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges between known nodes, without those that a longer way implies."""
    after: dict[str, set[str]] = {name: set() for name in order}
    for begin, end in edges:
        if begin in order and end in order and order[begin] < order[end]:
            after[begin].add(end)
    reach: dict[str, set[str]] = {}
    for name in sorted(order, key=lambda name: -order[name]):
        reach[name] = set().union(*({one} | reach[one] for one in after[name]))
    return [
        (begin, end)
        for begin, ends in after.items()
        for end in sorted(ends, key=order.__getitem__)
        if not any(end in reach[other] for other in ends)
    ]


def _layers(order: Mapping[str, int], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Each node's layer from 0, as late as those after it let it be."""
    after = collections.defaultdict(list)
    for begin, end in edges:
        after[begin].append(end)
    depth: dict[str, int] = {}
    for name in sorted(order, key=lambda name: -order[name]):
        depth[name] = max((depth[other] + 1 for other in after[name]), default=0)
    deepest = max(depth.values(), default=0)
    return {name: deepest - found for name, found in depth.items()}

"""Charts as SVG, from plain functions: no script, colours from the page's style sheet.

Each takes numbers and names and gives markup for a template, escaped. ``label`` is what a screen
reader reads. Widths are chosen so that a chart in a card is drawn at about its own size, on a
phone too, and its text stays readable. Series are told apart by colour, by dash or place, and by
a name beside them.
"""

from pipeline.report.charts.bars import Bar, bars
from pipeline.report.charts.graph import Node, graph
from pipeline.report.charts.histograms import Histogram, histograms
from pipeline.report.charts.intervals import Interval, intervals
from pipeline.report.charts.lines import Line, lines
from pipeline.report.charts.matrix import matrix
from pipeline.report.charts.points import points
from pipeline.report.charts.spans import Span, spans

__all__ = [
    "Bar",
    "Histogram",
    "Interval",
    "Line",
    "Node",
    "Span",
    "bars",
    "graph",
    "histograms",
    "intervals",
    "lines",
    "matrix",
    "points",
    "spans",
]

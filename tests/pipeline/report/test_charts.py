"""Charts: what is drawn where, from plain numbers."""

import re

import numpy as np
import pytest

from pipeline.report import charts, intervals, numbers
from pipeline.report.charts import scales
from pipeline.report.charts.svg import path, shorten, tag, width_of


def numbers_in(markup: str, name: str) -> list[float]:
    return [float(found) for found in re.findall(rf'\b{name}="(-?[\d.]+)"', markup)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.0, 10.0, ["0", "2", "4", "6", "8", "10"]),
        (0.906, 0.914, ["0.906", "0.908", "0.910", "0.912", "0.914"]),
        (0.0, 12000.0, ["0", "2,500", "5,000", "7,500", "10,000"]),
    ],
)
def test_ticks_are_round_and_tell_apart(low: float, high: float, expected: list[str]) -> None:
    assert scales.names(scales.ticks(low, high)) == expected


def test_bounds_hold_all_values_and_never_meet() -> None:
    assert scales.domain([0.91, 0.97, float("nan")]) == pytest.approx((0.9, 0.98))
    low, high = scales.domain([3.0, 3.0])
    assert low < 3 < high
    assert scales.domain([]) == (0.0, 1.0)


def test_ticks_of_time_are_days_or_months() -> None:
    day = 86400.0
    week = [name for _, name in scales.time_ticks(0.0, 6 * day)]
    assert week == ["1970-01-01", "1970-01-03", "1970-01-05", "1970-01-07"]
    year = scales.time_ticks(15 * day, 380 * day)
    assert [name for _, name in year] == ["1970-04", "1970-07", "1970-10", "1971-01"]


def test_values_are_escaped_and_rounded() -> None:
    drawn = tag("text", "<b>", class_='"x"', x=1.04, stroke_width=2)
    assert drawn == '<text class="&#34;x&#34;" x="1" stroke-width="2">&lt;b&gt;</text>'
    assert path([(0, 0), (1, 1), (float("nan"), 1), (2, 2)], "line").count("M") == 2


def test_long_names_lose_their_middle_and_fit() -> None:
    name = "telemetry_temperature_standard_deviation_24h"
    short = shorten(name, 120)
    assert width_of(short) <= 120 and short[0] == "t" and short.endswith("h") and "…" in short
    assert shorten("model", 120) == "model"


def test_bars_are_as_long_as_their_values() -> None:
    drawn = charts.bars(
        [charts.Bar("a", 10, "10"), charts.Bar("b", 5, "5"), charts.Bar("c", 0, "0")], "x"
    )
    long, half, none = (width for width in numbers_in(drawn, "width"))
    assert half == pytest.approx(long / 2, abs=0.2) and none == 0
    # Long names stand above: their bars begin at the left.
    names = [charts.Bar("a" * 40, 10, "10")]
    assert numbers_in(charts.bars(names, "x"), "x")[1] == 0


def test_lines_rise_with_their_values_and_tell_their_intervals() -> None:
    line = charts.Line("eval", [1, 2], [0.2, 0.8], [0.1, 0.7], [0.3, 0.9])
    drawn = charts.lines([line, charts.Line("train", [1, 2], [0.5, 0.5])], "x", mark=(2, "kept"))
    first, second, *_ = numbers_in(drawn, "cy")
    assert first > second
    assert 'class="fill area s1"' in drawn and ">kept<" in drawn and ">train<" in drawn


def heights(drawn: str, series: str) -> list[float]:
    """The heights of a histogram's steps, as shares of the highest of the picture."""
    outline = re.search(rf'd="(M[^"]+)" class="line {series}"', drawn)
    assert outline
    up = [float(y) for y in re.findall(r" ([\d.]+)(?=L|$)", outline[1])][:-1]
    base, top = 94.0, 8.0
    return [(base - y) / (base - top) for y in up[1::2]]


def test_histograms_of_other_ranges_share_their_buckets() -> None:
    """All at 0, but for one at the end: they look alike, though their own buckets do not."""
    train = charts.Histogram("train", np.linspace(0, 10, 11), [0.99, *[0] * 8, 0.01])
    eval_ = charts.Histogram("eval", np.linspace(0, 20, 11), [0.99, *[0] * 8, 0.01])
    drawn = charts.histograms([train, eval_], "x")
    first, second = heights(drawn, "s1"), heights(drawn, "s2")
    assert len(first) == len(second) == 10
    assert first[0] == second[0] == pytest.approx(1.0, abs=0.01)
    assert first[4] > 0 and first[9] == 0 and second[9] > 0
    assert ">99.0 %<" in drawn


def test_an_empty_or_constant_feature_is_drawn() -> None:
    for edges, shares in (([], []), ([5, 5], [1.0])):
        assert charts.histograms([charts.Histogram("train", edges, shares)], "x").startswith("<svg")


def test_a_matrix_shades_by_share_of_the_row() -> None:
    drawn = charts.matrix([[8, 2], [0, 10]], ["a", "b"], ["a", "b"], "x")
    shades = numbers_in(drawn, "fill-opacity")
    assert shades == sorted(shades, key=lambda s: shades.index(s)) and len(shades) == 4
    assert shades[3] > shades[0] > shades[1] > shades[2]


def test_stages_stand_right_of_what_they_wait_for() -> None:
    nodes = [charts.Node(name, name) for name in ("a", "b", "schema", "join", "gate")]
    edges = [("a", "join"), ("b", "join"), ("join", "gate"), ("schema", "gate"), ("a", "gate")]
    drawn = charts.graph(nodes, edges, "x")
    places = dict(
        zip(
            re.findall(r"<title>(\w+)</title>", drawn),
            re.findall(r'<rect x="([\d.]+)"', drawn),
            strict=True,
        )
    )
    assert float(places["a"]) == float(places["b"]) < float(places["join"]) < float(places["gate"])
    # As late as may be: beside the join, not among the sources.
    assert places["schema"] == places["join"]
    # The way from a over join says it all.
    assert drawn.count('class="edge"') == 4


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.05, "50 ms"), (4.94, "4.9 s"), (59.7, "1 min"), (150, "2 min 30 s"), (90000, "1 d 1 h")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert numbers.duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.9238, "0.924"), (12345.6, "12,346"), (83.21, "83.2"), (1.2e-5, "1.2e-05"), (None, "–")],
)
def test_decimals(value: float | None, expected: str) -> None:
    assert numbers.decimal(value) == expected


def test_shares() -> None:
    shares = [0, 0.0002, 0.0255, 0.5, 0.998, 0.99999, 1]
    told = ["0 %", "<0.1 %", "2.5 %", "50 %", "99.8 %", ">99.9 %", "100 %"]
    assert [numbers.percent(share) for share in shares] == told


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    held = [
        low <= 0.1 <= high
        for low, high in (intervals.of_share(n, 80) for n in random.binomial(80, 0.1, 2000))
    ]
    assert 0.93 < np.mean(held) < 0.97
    low, high = intervals.of_auc(0.9, 50, 450) or (0, 0)
    # Hanley and McNeil's standard error for these is 0.0285.
    assert (high - low) / 2 == pytest.approx(1.96 * 0.0285, rel=0.05)
    assert intervals.of_auc(0.9, 0, 450) is None

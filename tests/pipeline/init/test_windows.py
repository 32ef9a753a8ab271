"""Lengths of windows and of the split."""

import pytest

from components.ingest.durations import format_duration, parse_duration
from pipeline.init import windows


@pytest.mark.parametrize(
    ("interval", "horizon", "sizes"),
    [
        ("15m", "24h", ["3h", "24h", "1h"]),
        ("1h", "24h", ["3h", "24h", "1h"]),
        ("1s", "1h", ["10m", "1h", "5m"]),
        ("6h", "24h", ["24h", "7d", "6h"]),
        ("0s", "0s", ["3h", "24h", "1h"]),
    ],
)
def test_windows_follow_the_rate_and_the_horizon(interval, horizon, sizes):
    found = windows.sensor_sizes(parse_duration(interval), parse_duration(horizon))
    assert list(map(format_duration, found)) == sizes


def test_no_reading_falls_between_windows():
    for interval in ("1s", "90s", "40m", "5h", "2d"):
        for horizon in ("0s", "10m", "24h", "30d"):
            short, long, every = windows.sensor_sizes(
                parse_duration(interval), parse_duration(horizon)
            )
            assert every <= short <= long


@pytest.mark.parametrize(
    ("span", "horizon", "train", "evaluate"),
    [("90d", "24h", "70d", "17d"), ("200d", "0s", "160d", "40d"), ("60h", "2h", "44h", "11h")],
)
def test_a_split_fits_into_the_data(span, horizon, train, evaluate):
    made = windows.split(parse_duration(span), parse_duration(horizon))
    assert made == {"by": "time", "train": train, "eval": evaluate}


@pytest.mark.parametrize("span", ["0s", "24h", "3d"])
def test_data_too_short_for_the_horizon_are_told(span):
    with pytest.raises(ValueError, match="--horizon"):
        windows.split(parse_duration(span), parse_duration("24h"))

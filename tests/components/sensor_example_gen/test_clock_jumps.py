"""Sensors whose clocks jump: what cannot be placed is counted, and the rest is as without it."""

import pytest

from components.ingest.errors import DataError
from components.ingest.sensor.quality import check_tally

MINUTE, HOUR = 60_000_000, 3_600_000_000
WINDOWS = [{"size": "1h", "aggregate": ["last", "count", "mean"]}]
RECEIVED = {"column": "ts", "received_at": "received"}


def day(plain, shown=lambda i: i * 10 * MINUTE, count=36):
    """A reading each ten minutes for six hours; ``shown`` is what the clock says of the i-th."""
    return [
        {
            "machine": 1,
            "ts": plain.iso(plain.begin + shown(i) if shown(i) >= 0 else -shown(i)),
            "received": plain.iso(plain.begin + i * 10 * MINUTE + 1_000_000),
            "temperature": float(i),
            "pressure": 1.0,
        }
        for i in range(count)
    ]


def windows(run, rows, **changes):
    result = run(rows, windows=WINDOWS, **changes)
    return result, result.tables["every_1h"].to_pylist()


def test_a_clock_that_counts_from_1970_again(run, plain):
    """It loses its time at 02:00 and gets it back at 03:00."""
    rows = day(plain, lambda i: -(i - 12) * 10 * MINUTE - 1 if 12 <= i < 18 else i * 10 * MINUTE)
    result, found = windows(run, rows)
    _, without = windows(run, rows[:12] + rows[18:])
    assert found == without
    assert result.report["rejected"]["clock_reset"]["readings"] == 12
    assert result.report["readings"]["outside"] == 0
    assert result.report["time"]["seen"][0] == "2025-03-01T00:00:00Z"
    plain.check_identity(result)
    with pytest.raises(DataError, match=r"above max_rejected 5\.0%: clock_reset 12"):
        check_tally("telemetry", result.tally, ["a.jsonl"], 0.05)


@pytest.mark.parametrize("time", [{"column": "ts"}, RECEIVED])
def test_a_clock_that_jumps_back_repeats_an_hour(run, plain, time):
    """As one that follows summer time does in autumn: times that were there are not taken twice."""
    rows = day(plain, lambda i: (i if i < 12 else i - 6) * 10 * MINUTE)
    result, found = windows(run, rows, time=time)
    assert result.report["rejected"]["duplicate"]["readings"] == 12
    values = {row["time"]: row["temperature_last_1h"] for row in found}
    # The window that ends at 02:00 holds 01:10 to 02:00: the last is shown at 02:00, first by i=18.
    assert values[plain.begin + 2 * HOUR] == 18.0
    _, without = windows(run, rows[:12] + rows[18:], time=time)
    assert found == without
    if time is RECEIVED:
        # It stays an hour behind: nothing is known before it was received.
        known = {row["time"] - plain.begin: row["known_at"] - plain.begin for row in found}
        assert known[3 * HOUR] == 4 * HOUR + 1_000_000
    plain.check_identity(result)


def test_a_clock_that_jumps_ahead_is_told_by_the_receipt(run, plain):
    rows = day(plain, lambda i: (i * 10 + (120 if 12 <= i < 18 else 0)) * MINUTE)
    result, found = windows(run, rows, time=RECEIVED)
    _, without = windows(run, rows[:12] + rows[18:], time=RECEIVED)
    assert found == without
    assert result.report["rejected"]["future"]["readings"] == 12
    plain.check_identity(result)


def test_a_clock_that_jumps_past_the_run_is_outside(run, plain):
    rows = day(plain, lambda i: (i * 10 + (10_000_000 if 12 <= i < 18 else 0)) * MINUTE)
    result, found = windows(run, rows)
    _, without = windows(run, rows[:12] + rows[18:])
    assert found == without
    assert result.report["readings"]["outside"] == 12
    assert result.report["time"]["seen"][1].startswith("2044-")
    plain.check_identity(result)

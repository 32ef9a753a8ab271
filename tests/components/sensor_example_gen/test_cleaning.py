"""Each reason for which a reading is rejected, units, clocks and time zones."""

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.durations import parse_instant
from components.ingest.errors import DataError
from components.ingest.sensor.features import sensor_windows
from components.ingest.sensor.numbers import conversion, to_floats
from components.ingest.sensor.quality import check_tally
from components.ingest.sensor.times import parse_times, to_utc

MINUTE, HOUR = 60_000_000, 3_600_000_000
AT = "2025-03-01T06:00:00Z"
LAST = [{"size": "3h", "every": "1h", "aggregate": ["last", "count"]}]


def good(at=AT, **changes):
    return {"machine": 1, "ts": at, "temperature": 20.0, "pressure": 1.0} | changes


@pytest.mark.parametrize(
    ("row", "reason", "channel", "readings"),
    [
        ('{"machine": 1, "ts": "2025-03-01T06:00', "malformed", None, 2),
        ("[1, 2]", "malformed", None, 2),
        ("temperature=20", "malformed", None, 2),
        (good(machine=None), "no_entity", None, 2),
        (good(machine="m-7"), "bad_entity", None, 2),
        (good(machine=1.5), "bad_entity", None, 2),
        (good(ts=None), "no_time", None, 2),
        (good(ts=""), "no_time", None, 2),
        (good(ts="yesterday"), "bad_time", None, 2),
        (good(ts="2025-02-29T00:00:00Z"), "bad_time", None, 2),
        (good(ts="2025-13-01T00:00:00Z"), "bad_time", None, 2),
        (good(ts="1970-01-01T06:00:00Z"), "clock_reset", None, 2),
        (good(temperature="err"), "bad_value", "temperature", 1),
        (good(temperature=[20]), "bad_value", "temperature", 1),
        (good(temperature=float("nan")), "not_finite", "temperature", 1),
        (good(pressure=float("inf")), "not_finite", "pressure", 1),
        (good(pressure=1e400), "not_finite", "pressure", 1),
        (good(temperature=-41), "out_of_range", "temperature", 1),
        (good(temperature=200.5), "out_of_range", "temperature", 1),
        (good(unit="bar"), "unit", "temperature", 1),
        (good(unit="foo)("), "unit", "temperature", 1),
        (good(received="2025-03-01T05:54:59Z"), "future", "temperature", 1),
        (good(received="2025-03-01T08:00:01Z"), "late", "temperature", 1),
        (good(received="soon"), "bad_time", None, 2),
    ],
)
def test_a_bad_reading_is_rejected_with_its_reason(run, plain, row, reason, channel, readings):
    rows = [good(f"2025-03-01T05:0{i}:00Z") for i in range(3)]
    result = run(
        [*rows, row, good("2025-03-01T07:00:00Z", unit="degC", received="2025-03-01T07:00:09Z")],
        channels={
            "temperature": {"range": [-40, 200], "unit": "degC", "unit_column": "unit"},
            "pressure": {},
        },
        time={"column": "ts", "received_at": "received"},
        max_lateness="2h",
    )
    found = [r for r in result.quarantine.to_pylist() if r["channel"] in (channel, None)]
    assert [(r["line"], r["reason"], r["readings"]) for r in found] == [(4, reason, readings)]
    assert result.report["rejected"][reason]["examples"][0]["line"] == 4
    if isinstance(row, str):
        assert found[0]["value"] == row
    elif channel:
        assert found[0]["time"] == AT and found[0]["entity"] == "1"
    assert result.report["readings"]["used"] >= 8
    plain.check_identity(result)


def test_the_same_moment_twice_is_one_reading(run, plain):
    rows = [good(temperature=20.0), good(temperature=21.0), good(temperature=22.0, pressure=None)]
    for keep, value, lines in (("first", 20.0, [2, 3]), ("last", 22.0, [1, 2])):
        result = run(rows, keep=keep, windows=LAST)
        assert result.tables["every_1h"]["temperature_last_3h"][0].as_py() == value
        assert plain.quarantined(result) == sorted(
            [(line, "duplicate", "temperature") for line in lines]
            + [(2 if keep == "first" else 1, "duplicate", "pressure")],
            key=str,
        )


def test_the_first_to_arrive_is_told_by_its_receipt(run):
    rows = [
        good(temperature=20.0, received="2025-03-01T06:00:09Z"),
        good(temperature=21.0, received="2025-03-01T06:00:02Z"),
    ]
    result = run(rows, windows=LAST, time={"column": "ts", "received_at": "received"})
    assert result.tables["every_1h"]["temperature_last_3h"][0].as_py() == 21.0


def test_a_stuck_sensor_is_believed_until_it_could_be_known(run, plain):
    values = [20.0, 21.0, 21.0, 21.0, 21.0, 22.0]
    rows = [good(plain.iso(plain.begin + i * HOUR), temperature=v) for i, v in enumerate(values)]
    result = run(rows, channels={"temperature": {"stuck": "90m"}})
    assert plain.quarantined(result) == [
        (4, "stuck", "temperature"),
        (5, "stuck", "temperature"),
    ]


def test_a_change_of_unit_is_converted(run):
    rows = [
        good("2025-03-01T06:00:00Z", temperature=20.0, unit="degC"),
        good("2025-03-01T07:00:00Z", temperature=68.0, unit="°F"),
        good("2025-03-01T08:00:00Z", temperature=293.15, unit="kelvin"),
        good("2025-03-01T09:00:00Z", temperature=20.0, unit=None),
        good("2025-03-01T10:00:00Z", temperature=68.0, unit="F"),
    ]
    result = run(
        rows,
        channels={"temperature": {"unit": "degC", "unit_column": "unit", "range": [0, 30]}},
        windows=[{"size": "1h", "aggregate": ["last"]}],
    )
    assert result.report["readings"]["used"] == 5
    values = result.tables["every_1h"]["temperature_last_1h"].to_pylist()
    np.testing.assert_allclose(values[:5], 20.0, rtol=1e-12)


def test_units_of_long_files_are_those_of_their_channel(run, plain):
    rows = [
        {"machine": 1, "ts": AT, "what": "t", "v": 50.0, "u": "degF"},
        {"machine": 1, "ts": AT, "what": "p", "v": 2.0, "u": "bar"},
        {"machine": 1, "ts": AT, "what": "p2", "v": 2.0, "u": "degF"},
        {"machine": 1, "ts": AT, "what": None, "v": 2.0, "u": "degF"},
    ]
    result = run(
        rows,
        layout="long",
        channel="what",
        value="v",
        channels={
            "t": {"unit": "degC", "unit_column": "u"},
            "p": {"unit": "kPa", "unit_column": "u"},
            "p2": {"unit": "kPa", "unit_column": "u"},
        },
        windows=LAST,
    )
    row = result.tables["every_1h"].to_pylist()[0]
    assert (row["t_last_3h"], row["p_last_3h"]) == (pytest.approx(10), pytest.approx(200))
    assert plain.quarantined(result, "line", "reason", "value") == [
        (3, "unit", "2 degF"),
        (4, "no_channel", "1\t2025-03-01T06:00:00Z\t\tdegF\t2"),
    ]
    plain.check_identity(result)


@pytest.mark.parametrize(
    ("unit", "target", "value", "expected"),
    [("degF", "degC", 212.0, 100.0), ("psi", "bar", 14.503773773, 1.0), ("C", "degC", 3.0, 3.0)],
)
def test_conversions(unit, target, value, expected):
    scale, offset = conversion(unit, target)
    assert value * scale + offset == pytest.approx(expected, rel=1e-9)


def test_units_without_a_conversion():
    assert conversion("metre", "bar") is None
    assert conversion("dBm", "watt") is None
    assert conversion("", "watt") is None


def test_numbers_in_text():
    numbers, bad = to_floats(pa.array(["1.5", " 2 ", "+3", "x", None, "", "nan", "1e3", "1,5"]))
    np.testing.assert_array_equal(
        numbers, [1.5, 2, 3, np.nan, np.nan, np.nan, np.nan, 1000, np.nan]
    )
    assert np.flatnonzero(bad).tolist() == [3, 8]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-03-01T06:00:00Z", "2025-03-01T06:00:00Z"),
        ("2025-03-01 06:00:00.25+02:00", "2025-03-01T04:00:00.250000Z"),
        ("2025-03-01T06:00:00.1234567-0330", "2025-03-01T09:30:00.123456Z"),
        ("2025-03-01T06:00", "2025-03-01T05:00:00Z"),
        ("2025-03-01", "2025-02-28T23:00:00Z"),
    ],
)
def test_texts_of_times(text, expected):
    # Beside another form, so that the column as a whole is mixed.
    for column in ([text], [text, "2020-02-29T00:00:00Z", "?", None]):
        times = parse_times(pa.array(column), None, "Europe/Berlin")
        assert times.instants[0] == parse_instant(expected)
        if len(column) > 1:
            assert times.bad.tolist() == [False, False, True, False]
            assert times.missing.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        (pa.array([1740787200], pa.int64()), "s"),
        (pa.array([1740787200.0]), "s"),
        (pa.array(["1740787200000"]), "ms"),
        (pa.array([1740787200000000]), "us"),
        (pa.array([1740787200000000123]), "ns"),
        (pa.array([1740787200000], pa.timestamp("ms", "Asia/Tokyo")), None),
        (pa.array([1740790800], pa.timestamp("s")), None),
    ],
)
def test_numbers_and_timestamps(column, unit):
    times = parse_times(column, unit, "Europe/Berlin")
    assert times.instants.tolist() == [parse_instant("2025-03-01T00:00:00Z")]
    assert times.bad is None and times.missing is None


def test_clocks_that_jump():
    """Europe/Berlin: 2025-03-30 02:00 becomes 03:00, 2025-10-26 03:00 becomes 02:00."""
    texts = {
        "2025-03-30T01:59:59": "2025-03-30T00:59:59Z",
        "2025-03-30T02:30:00": None,
        "2025-03-30T03:00:00": "2025-03-30T01:00:00Z",
        "2025-10-26T01:59:59": "2025-10-25T23:59:59Z",
        "2025-10-26T02:30:00": "2025-10-26T00:30:00Z",
        "2025-10-26T03:00:00": "2025-10-26T02:00:00Z",
        "2019-07-01T00:00:00": "2019-06-30T22:00:00Z",
    }
    times = parse_times(pa.array(list(texts)), None, "Europe/Berlin")
    for index, expected in enumerate(texts.values()):
        assert bool(times.bad[index]) == (expected is None)
        if expected:
            assert times.instants[index] == parse_instant(expected)


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_local_times_are_those_of_zoneinfo(zone):
    import datetime
    import zoneinfo

    naive = np.arange(parse_instant("2012-01-01"), parse_instant("2020-01-01"), 7 * HOUR)
    instants, unreal = to_utc(naive, zone)
    epoch = datetime.datetime(1970, 1, 1)
    for local, instant, jumped in zip(
        naive[::50].tolist(),
        instants[::50].tolist(),
        (np.zeros(len(naive), bool) if unreal is None else unreal)[::50],
        strict=True,
    ):
        moment = (epoch + datetime.timedelta(microseconds=local)).replace(
            tzinfo=zoneinfo.ZoneInfo(zone)
        )
        if not jumped:
            assert instant == round(moment.timestamp() * 1e6)


def test_local_times_of_files(run):
    rows = [good("2025-03-01T07:30:00"), good("2025-03-01T08:30:00+01:00")]
    result = run(
        rows, time={"column": "ts", "timezone": "Europe/Berlin"}, windows=LAST, batch_rows=1
    )
    assert result.report["time"]["used"] == ["2025-03-01T06:30:00Z", "2025-03-01T07:30:00Z"]


def gateway_rows(plain, lags, count=300, seed=3):
    """Gateways that all send every minute; each one's clock lags by so many seconds."""
    random = np.random.default_rng(seed)
    rows = []
    for index, (gateway, lag) in enumerate(lags.items()):
        for i in range(count):
            real = plain.begin + i * MINUTE
            delay = int(2e6 + random.exponential(4e6))
            rows.append(
                {
                    "machine": index,
                    "ts": plain.iso(real - int(lag * 1e6)),
                    "received": plain.iso(real + delay),
                    "gateway": gateway,
                    "temperature": float(i),
                }
            )
    return rows


CLOCK = {"column": "ts", "received_at": "received"}


@pytest.mark.parametrize(("lag", "offset"), [(90, 90), (-90, -90), (0.4, 0)])
def test_a_wrong_clock_is_estimated(run, plain, lag, offset):
    rows = gateway_rows(plain, {"a": 0, "b": 0, "c": lag, "d": 1})
    result = run(
        rows,
        channels={"temperature": {}},
        gateway="gateway",
        time=CLOCK | {"offsets": {"c": "estimate", "d": "1s"}},
    )
    found = result.report["gateways"]["c"]
    assert found["by"] == "estimate" and found["rows"] == 300
    seconds = float(found["offset"].removesuffix("us")) / 1e6 if offset else 0.0
    assert seconds == pytest.approx(offset, abs=0.4)
    assert result.report["gateways"]["d"] == {"rows": 300, "offset": "1s", "by": "settings"}


def test_all_clocks_estimated_stand_one_wrong_one(run, plain):
    rows = gateway_rows(plain, {"a": 0, "b": 0, "c": 600, "d": 0})
    result = run(
        rows,
        channels={"temperature": {}},
        gateway="gateway",
        time=CLOCK | {"offsets": dict.fromkeys("abcd", "estimate")},
    )
    offsets = {g: found["offset"] for g, found in result.report["gateways"].items()}
    assert [offsets[g] for g in "abd"] == ["0s"] * 3
    assert float(offsets["c"].removesuffix("us")) / 1e6 == pytest.approx(600, abs=0.4)


def test_a_rare_gateway_is_found_beyond_the_sample(run, plain, monkeypatch):
    from components.ingest.sensor import clock as sensor_clock

    monkeypatch.setattr(sensor_clock, "_SAMPLE_ROWS", 10)
    monkeypatch.setattr(sensor_clock, "_ENOUGH", 250)
    rows = gateway_rows(plain, {"a": 0, "c": 90})
    result = run(
        rows,
        channels={"temperature": {}},
        gateway="gateway",
        time=CLOCK | {"offsets": {"c": "estimate"}},
    )
    assert result.report["gateways"]["c"]["readings"] == 300


def test_a_given_offset_moves_times(run):
    rows = [good("2025-03-01T06:59:00Z", gateway="g1"), good("2025-03-01T06:59:00Z", gateway="g2")]
    rows[1]["machine"] = 2
    result = run(
        rows, gateway="gateway", windows=LAST, time={"column": "ts", "offsets": {"g2": "90s"}}
    )
    first = {row["machine"]: row["time"] for row in reversed(result.tables["every_1h"].to_pylist())}
    assert first[2] - first[1] == HOUR


def test_a_gateway_that_never_sends_is_told(run, plain):
    with pytest.raises(DataError) as error:
        run(
            gateway_rows(plain, {"a": 0, "b": 0}),
            channels={"temperature": {}},
            gateway="gateway",
            time=CLOCK | {"offsets": {"z": "estimate"}},
        )
    assert str(error.value) == (
        "telemetry: gateway 'z': its clock is to be estimated, and no reading of it tells when it "
        "was received. Mend the name in sources.telemetry.time.offsets or give an offset such as "
        "'-90s'. Gateways with readings: a, b."
    )


def test_too_many_rejected_stop_the_run(run, tmp_path):
    rows = [good(f"2025-03-01T05:{i:02d}:00Z") for i in range(30)]
    rows += ["{", good(temperature=999)]
    result = run(rows, channels={"temperature": {"range": [0, 100]}})
    path = str(tmp_path / "a.jsonl")
    check_tally("telemetry", result.tally, [path], 0.07)
    with pytest.raises(DataError) as error:
        check_tally("telemetry", result.tally, [path], 0.06)
    assert str(error.value) == (
        f"telemetry: {path}: 6.2% of readings are rejected, above max_rejected 6.0%: malformed 1, "
        f"out_of_range 1. This file has most, 2 of 32. For example malformed: {path}:31  '{{'; "
        f"out_of_range: {path}:32 1 temperature 2025-03-01T06:00:00Z '999'. Mend the files or what "
        "sources.telemetry says of ranges, units and times, or raise max_rejected; all of them are "
        "in the quarantine."
    )


def test_bad_readings_are_not_hidden_by_a_long_history(run):
    rows = [good(f"2024-0{1 + i % 9}-01T05:00:{i // 9:02d}Z") for i in range(300)]
    rows += [good(temperature=999), good("2025-03-01T06:30:00Z")]
    result = run(rows, channels={"temperature": {"range": [0, 100]}})
    assert result.tally.rejected_share == 0.5
    assert result.report["readings"]["outside"] == 300


def test_no_reading_in_the_runs_time(run, tmp_path):
    result = run([good("2024-01-01T00:00:00Z"), good("2024-02-01T00:00:00Z")])
    assert result.tables["every_1h"].num_rows == 0
    with pytest.raises(DataError) as error:
        check_tally("telemetry", result.tally, [str(tmp_path / "a.jsonl")], 0.05)
    assert str(error.value) == (
        "telemetry: all files: none of 4 readings lies in the run's time; times in the files run "
        "from 2024-01-01T00:00:00Z to 2024-02-01T00:00:00Z. Choose an --as-of that the files "
        "reach, or add files."
    )


def test_entities_keep_their_type(plain, tmp_path):
    for name, rows, expected in (
        ("int", [good(machine=7)], 7),
        ("text", [good(machine="7")], "7"),
        ("both", [good(machine="x"), good("2025-03-01T06:30:00Z", machine=7)], "7"),
    ):
        plain.write_jsonl(tmp_path / f"{name}.jsonl", rows)
        result = sensor_windows(
            "t", plain.make_source(tmp_path / f"{name}.jsonl"), plain.begin, plain.end
        )
        assert result.tables["every_1h"]["machine"][0].as_py() == expected
    for text, expected in (("7", 7), ("007", "007")):
        (tmp_path / "a.csv").write_text(f"machine,ts,temperature,pressure\n{text},{AT},1,2\n")
        result = sensor_windows("t", plain.make_source(tmp_path / "a.csv"), plain.begin, plain.end)
        assert result.tables["every_1h"]["machine"][0].as_py() == expected

import hypothesis
import hypothesis.strategies as st
import pydantic
import pytest

from components.ingest import durations


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("3h", 10_800_000_000),
        ("90s", 90_000_000),
        ("-1.5m", -90_000_000),
        ("+2d", 172_800_000_000),
        ("250ms", 250_000),
        ("7us", 7),
        ("0s", 0),
    ],
)
def test_durations_read(text, microseconds):
    assert durations.parse_duration(text) == microseconds


@pytest.mark.parametrize("text", ["", "3", "h", "3 hrs", "3h ", "1h30m", "1e3s", None, 3, 1.5])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"expected a duration such as '3h' or '90s'"):
        durations.parse_duration(text)


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0s"),
        (3_600_000_000, "1h"),
        (86_400_000_000, "24h"),
        (2 * 86_400_000_000, "2d"),
        (-90_000_000, "-90s"),
        (1_500, "1500us"),
    ],
)
def test_durations_are_written_as_people_name_them(microseconds, text):
    assert durations.format_duration(microseconds) == text


@hypothesis.given(st.integers(-(10**15), 10**15))
def test_a_duration_survives_being_written(microseconds):
    assert durations.parse_duration(durations.format_duration(microseconds)) == microseconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (455_080, "5d 6h"),
        (86_400, "1d"),
        (86_430, "1d"),
        (12_000, "3h 20m"),
        (-61, "1m 1s"),
        (12, "12s"),
        (0.3, "less than 1s"),
    ],
)
def test_an_age_is_told_in_its_two_largest_units(seconds, text):
    assert durations.format_age(int(seconds * 1_000_000)) == text


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01", 0),
        ("2025-04-17T06:00:00Z", 1_744_869_600_000_000),
        ("2025-04-17T08:00:00+02:00", 1_744_869_600_000_000),
        (" 2025-04-17T06:00:00 ", 1_744_869_600_000_000),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_instants_read(text, microseconds):
    assert durations.parse_instant(text) == microseconds


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01", "17.04.2025", "12:00"])
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(ValueError, match="expected an ISO 8601 time"):
        durations.parse_instant(text)


@hypothesis.given(st.integers(-(10**16), 10**17))
def test_an_instant_survives_being_written(microseconds):
    assert durations.parse_instant(durations.format_instant(microseconds)) == microseconds


class Settings(pydantic.BaseModel):
    size: durations.Duration
    shift: durations.SignedDuration = 0


def test_fields_are_text_outside_and_microseconds_inside():
    settings = Settings.model_validate({"size": "3h", "shift": "-90s"})
    assert (settings.size, settings.shift) == (10_800_000_000, -90_000_000)
    assert settings.model_dump_json() == '{"size":"3h","shift":"-90s"}'
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("size", ["0s", "-3h"])
def test_a_size_is_above_zero(size):
    with pytest.raises(pydantic.ValidationError, match="expected a duration above zero"):
        Settings.model_validate({"size": size})

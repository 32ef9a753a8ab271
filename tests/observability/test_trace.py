import pytest

from observability.trace import trace_of_header, trace_of_run

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f" 00-{TRACE}-{SPAN}-00 ", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be", TRACE),
        ("", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        (f"00-{TRACE[:-1]}-{SPAN}-01", ""),
        (f"00-{TRACE}-{SPAN}-01\n00-{TRACE}-{SPAN}-01", ""),
    ],
)
def test_the_trace_of_a_header(header: str, trace: str) -> None:
    assert trace_of_header(header) == trace


def test_each_run_has_a_trace_of_its_own() -> None:
    one, other = trace_of_run("20261124-002909-e36e"), trace_of_run("20261124-002909-e36f")
    assert trace_of_header(f"00-{one}-{SPAN}-01") == one != other
    assert trace_of_run("") == ""

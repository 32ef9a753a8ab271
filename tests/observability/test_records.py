import logging
import time

import pytest

from observability.records import JsonFormatter, time_text
from observability.trace import trace_of_run
from tests.observability import records


def line(
    formatter: JsonFormatter,
    message: str,
    *values: object,
    error: bool = False,
    **more: object,
) -> str:
    try:
        raise ValueError("two\nlines")
    except ValueError as raised:
        info = (ValueError, raised, raised.__traceback__) if error else None
    record = logging.LogRecord("trainer.run", logging.WARNING, "run.py", 1, message, values, info)
    record.__dict__ |= more
    return formatter.format(record)


def test_a_record_of_a_worker() -> None:
    formatter = JsonFormatter("run-1", "Trainer")
    (record,) = records.read([line(formatter, "it is %s", "ä\n", error=True, worker=1)])
    assert record.pop("time")
    assert record.pop("error").endswith("ValueError: two\nlines\n")
    assert record == {
        "level": "WARNING",
        "run_id": "run-1",
        "node": "Trainer",
        "worker": "worker-1",
        "trace_id": trace_of_run("run-1"),
        "logger": "trainer.run",
        "message": "it is ä\n",
    }


def test_what_is_not_known_is_left_out() -> None:
    (record,) = records.read([line(JsonFormatter(), "up")])
    assert set(record) == {"time", "level", "logger", "message"}


@pytest.mark.parametrize("seconds", [0.0, 1e9, 1_764_000_000.9996])
def test_a_time_is_utc_with_milliseconds(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    text = time_text(seconds)
    assert len(text) == 24 and text.endswith("Z")
    assert text.startswith(time.strftime("%Y-%m-%dT%H:%M", time.gmtime(seconds)))
    monkeypatch.undo()
    time.tzset()

"""Names of runs sort by their order, whatever the machine's clock does."""

import datetime
import pathlib

import pytest

from pipeline import run_id


def at(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Clock":
            return cls.fromisoformat(moment).replace(tzinfo=tz)

    monkeypatch.setattr(run_id.datetime, "datetime", Clock)


def test_a_clock_set_back_names_no_run_before_the_last(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    (tmp_path / "zzz-of-a-user").mkdir()
    for moment in ("2026-03-29T03:00:00", "2026-03-29T02:00:00", "1970-01-01T00:00:00"):
        at(monkeypatch, moment)
        made.append(run_id.new_run_id(tmp_path))
        (tmp_path / made[-1]).mkdir()
    assert [name[:15] for name in made] == [f"20260329-03000{second}" for second in range(3)]
    at(monkeypatch, "2026-03-29T04:00:00")
    assert run_id.new_run_id(tmp_path)[:15] == "20260329-040000"
    assert run_id.new_run_id()[:15] == run_id.new_run_id(tmp_path / "none")[:15]

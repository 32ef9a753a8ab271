import json

import pytest

from serving.releases import ReleaseError, Releases, Status
from serving.releases.record import HISTORY, Record, event, parse, render


def entry(what: str, version: int, at: str = "2026-01-01T00:00:00.000Z") -> dict:
    return {"at": at, "by": "pipeline", "what": what, "version": version, "why": "blessed"}


OLD = {
    "stable": 2,
    "next": 12,
    "history": [
        entry("push", 1),
        entry("push", 2),
        entry("push", 3),
        entry("prune", 1),
        entry("found", 10),
        entry("push", 11),
        entry("promote", 2),
    ],
}


def test_a_record_without_states_is_read_and_changed(tmp_path):
    folder = tmp_path / "model"
    for number in (2, 3, 10, 11):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "saved_model.pb").touch()
    (folder / "releases.json").write_text(json.dumps(OLD))
    releases = Releases(folder)

    states = {number: status.state for number, status in releases.statuses().items()}
    assert states == {2: "stable", 3: "retired", 10: "found", 11: "retired"}
    assert releases.before().number == 11
    assert releases.served() == [2, 11]
    assert len(releases.history()) == 7

    assert releases.rollback("slow") == 2
    assert releases.stable().number == 11
    assert releases.before().number == 3
    assert [e["what"] for e in releases.history()][-2:] == ["promote", "rollback"]


def test_what_is_written_still_has_what_older_readers_read(tmp_path):
    record = Record(3, 5, (1, 2), {4: Status("canary", "2026-01-02T00:00:00Z", 10, "good")})
    raw = json.loads(render(record))
    assert (raw["stable"], raw["next"], raw["history"]) == (3, 5, [])
    assert parse(render(record)) == record


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"stable": 1}',
        '{"stable": "1", "next": 2, "history": []}',
        '{"stable": 1, "next": null, "history": []}',
        '{"stable": 1, "next": 2, "history": [], "versions": {"x": {"state": "stable"}}}',
        '{"stable": 1, "next": 2, "history": [], "versions": {"1": {"status": "stable"}}}',
        '{"stable": 1, "next": 2, "history": [], "versions": {"1": null}, "before": []}',
        '{"stable": 1, "next": 2, "history": [{}]}',
        '{"stable": null, "next": 2, "history": "push", "versions": {}, "before": []}',
    ],
)
def test_what_is_no_record_is_refused_by_every_reader(tmp_path, text):
    (tmp_path / "releases.json").write_text(text)
    releases = Releases(tmp_path)
    for read in (releases.stable, releases.traffic, releases.served, releases.statuses):
        with pytest.raises(ReleaseError, match="not a release record"):
            read()
    with pytest.raises(ReleaseError, match="not a release record"):
        releases.rollback("?")
    assert (tmp_path / "releases.json").read_text() == text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"versions": {"1": {"state": "stabel"}}}, "version 1 is 'stabel': expected one of staged"),
        ({"next": 1}, "next is 1, but there is a version 2: expected more"),
        ({"stable": 2}, r"stable is 2, but the state of \[1\] is stable"),
        ({"stable": None}, r"stable is None, but the state of \[1\] is stable"),
        ({"versions": {"1": {"state": "canary", "percent": 100}}}, "has 100 % of the traffic"),
        ({"versions": {"1": {"state": "canary", "percent": "9"}}}, "has '9' % of the traffic"),
        (
            {"versions": {str(n): {"state": "available"} for n in (1, 2)}, "stable": None},
            r"versions \[1, 2\] are on trial",
        ),
    ],
)
def test_a_record_edited_by_hand_must_not_contradict_itself(tmp_path, change, told):
    record = {"stable": 1, "next": 3, "before": [], "history": []}
    record["versions"] = {"1": {"state": "stable"}, "2": {"state": "staged"}}
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
    path = tmp_path / "releases.json"
    path.write_text(json.dumps(record))
    assert Releases(tmp_path).traffic().labels() == {"stable": 1}
    path.write_text(json.dumps({**record, **change}))
    with pytest.raises(ReleaseError, match=told):
        Releases(tmp_path).traffic()


def test_the_history_is_bounded(tmp_path):
    numbers = {"canary": {"requests": 1000, "p99_ms": 20.0}, "stable": {"requests": 9000}}
    history = tuple(event("canary", 2, "good", "me", numbers) for _ in range(HISTORY + 100))
    record = Record(1, 3, (), {1: Status("stable"), 2: Status("canary", percent=10)}, history)
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
    (tmp_path / "releases.json").write_text(render(record))
    releases = Releases(tmp_path)

    assert len(releases.history()) == HISTORY
    assert releases.traffic().percent == 10

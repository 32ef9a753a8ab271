"""What the pages show."""

import fcntl
import html
import pathlib

import httpx
import pytest

from pipeline.ui import runs
from serving.releases import Releases
from serving.rollout import observation
from serving.rollout.tally import Tally
from tests.pipeline.ui.conftest import HOSTILE, RUNS, record


def text(answer: httpx.Response, code: int = 200) -> str:
    assert answer.status_code == code, answer.text
    return answer.text


def test_runs_are_listed_newest_first_with_their_decision_and_metric(client: httpx.Client) -> None:
    page = text(client.get("/"))
    newest, oldest = page.index(RUNS[1]), page.index(RUNS[0])
    assert page.index(html.escape(HOSTILE)) < newest < oldest
    row = page[newest:oldest]
    for told in (
        "done",
        "2025-04-01 06:00 UTC",
        "2 min 30 s",
        "1 of 3",
        "0.900",
        "version 2 pushed",
        "+0.200 over version 1",
    ):
        assert told in row
    assert "not pushed" in page[oldest:]
    assert "auc 0.70 is below 0.80" in page[oldest:]


def test_a_hostile_name_is_text(client: httpx.Client) -> None:
    for address in ("/", httpx.URL("/runs/" + HOSTILE)):
        page = text(client.get(address))
        assert "<img" not in page
        assert "<script" not in page
        assert html.escape(HOSTILE) in page
        assert html.escape("<script>alert(2)</script>") in page


def test_a_page_names_no_other_place_and_no_script(client: httpx.Client) -> None:
    answer = client.get(f"/compare?run={RUNS[0]}&run={RUNS[1]}")
    assert "default-src &#39;none&#39;" in answer.text
    assert "//" not in answer.text.replace("http://www.w3.org", "")
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert answer.headers["Cache-Control"] == "no-store"


def test_hundreds_of_runs_come_in_pages(client: httpx.Client, tmp_path: pathlib.Path) -> None:
    for number in range(300):
        record(tmp_path, f"20240101-{number:06d}-cccc")
    first, last = text(client.get("/")), text(client.get("/?page=13"))
    assert "Page 1 of 13, 303 runs" in first
    assert 'href="/?page=2"' in first
    assert "20240101-000000-cccc" in last
    assert "20240101-000000-cccc" not in first
    assert 'rel="next"' not in last
    # A page that is none is the nearest.
    for asked in ("99", "-1", "x"):
        assert "303 runs" in text(client.get(f"/?page={asked}"))


def test_a_run_under_way_reloads_itself(client: httpx.Client, tmp_path: pathlib.Path) -> None:
    states = {"SqlExampleGen-a": "cached", "Trainer": "running", "Evaluator": "waiting"}
    record(tmp_path, "20990101-000000-dddd", state="running", ended=None, nodes=states)
    with (tmp_path / "var/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = text(client.get("/runs/20990101-000000-dddd"))
        assert "1 of 3 stages are through" in page
        assert 'http-equiv="refresh"' in page
        assert "1 of 3 stages" in text(client.get("/"))
    # Nobody holds the lock: the run was killed.
    page = text(client.get("/runs/20990101-000000-dddd"))
    assert 'http-equiv="refresh"' not in page
    assert "lost" in page


def test_only_the_newest_run_can_be_under_way(tmp_path: pathlib.Path) -> None:
    for run_id in ("20250101-000000-aaaa", "20250102-000000-bbbb"):
        record(tmp_path, run_id, state="running", ended=None)
    with (tmp_path / "var/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = runs.page(tmp_path / "var", 1, 25).runs
    assert [run.state for run in found] == ["running", "lost"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"state": "done", "nodes": [1]}'])
def test_a_broken_record_is_told(tmp_path: pathlib.Path, content: str) -> None:
    record(tmp_path, RUNS[0]).write_text(content)
    run = runs.find(tmp_path / "var", RUNS[0])
    assert run is not None
    assert run.state == "unreadable"
    assert "run.json cannot be read" in run.error


@pytest.mark.parametrize("run_id", ["nope", "%2e%2e%2fserving"])
def test_an_unknown_run_is_told(client: httpx.Client, run_id: str) -> None:
    assert "There is no" in text(client.get(f"/runs/{run_id}"), 404)


def test_a_run_says_how_to_see_its_training(client: httpx.Client) -> None:
    page = text(client.get(f"/runs/{RUNS[0]}"))
    assert f"python -m pipeline tensorboard {RUNS[0]}" in page
    assert "12 s" in page


def test_the_report_is_the_one_that_the_run_wrote_or_is_made(client, tmp_path) -> None:
    address = f"/runs/{RUNS[1]}/report"
    assert RUNS[1] in text(client.get(address))
    (tmp_path / "var/runs" / RUNS[1] / "report.html").write_text("as written")
    assert text(client.get(address)) == "as written"
    (tmp_path / "var/runs" / RUNS[0] / "plan.json").unlink()
    assert "cannot be read" in text(client.get(f"/runs/{RUNS[0]}/report"), 500)


def test_without_runs_and_versions_the_page_says_how_to_make_some(
    client: httpx.Client, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "var/runs").rename(tmp_path / "elsewhere")
    for address in ("/", "/versions"):
        assert "python -m pipeline run" in text(client.get(address))


@pytest.mark.usefixtures("releases")
def test_versions_show_what_they_are_and_what_may_be_done(client: httpx.Client) -> None:
    page = text(client.get("/versions"))
    rows = {n: page[page.index(f'<tr id="{n}">') :].partition("</tr>")[0] for n in range(1, 6)}
    moves = {
        n: [m for m in ("rollout", "advance", "promote", "rollback") if f"/versions/{n}/{m}" in row]
        for n, row in rows.items()
    }
    assert moves == {
        5: ["rollout", "advance", "promote", "rollback"],
        4: ["promote"],
        3: ["rollback"],
        2: ["promote"],
        1: ["promote"],
    }
    for number, told in ((5, "staged"), (4, "p99 is up to 100 ms"), (3, "<code>stable</code>")):
        assert told in rows[number]
    assert "100 %" in rows[3]
    assert f"/runs/{RUNS[1]}" in rows[3]


def test_a_version_that_tells_nothing_of_itself_is_shown(client, releases: Releases) -> None:
    for number, release in ((1, "{}"), (2, '{"lineage": {}, "metrics": 1}'), (3, "no JSON")):
        (releases.folder / f"{number}/assets.extra/release.json").write_text(release)
    (releases.folder / "9").mkdir()  # somebody else's
    page = text(client.get("/versions"))
    assert "found" in page
    assert "/versions/9/promote" in page


def test_what_a_rollout_has_seen_of_this_step_is_shown(client, releases: Releases) -> None:
    releases.advance(5, 0, "", "test", {})
    releases.advance(5, 10, "", "test", {})
    step = f"5 canary 10 {releases.statuses()[5].since} 3"
    seen = observation.Observation(step, watched=42.0, looked=0.0, canary=Tally(requests=1234))
    observation.save(releases.folder, seen)
    page = text(client.get("/versions"))
    assert "1,234" in page
    assert "watched this step for 42 s, the last time at 00:00:00" in page
    # Of another step it tells nothing.
    releases.advance(5, 50, "", "test", {})
    assert "1,234" not in text(client.get("/versions"))


def test_a_broken_release_record_is_told(client: httpx.Client, releases) -> None:
    (releases.folder / "releases.json").write_text("{")
    assert "is not a release record" in text(client.get("/versions"), 500)

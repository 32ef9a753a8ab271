"""Moving versions by the page: as the verbs do, once, and only on what was shown."""

import concurrent.futures
import pathlib
import re
import time
from collections.abc import Sequence

import httpx
import pytest

from pipeline.ui.moves import Move
from pipeline.ui.orders import Orders, Told
from pipeline.ui.versions import Standing
from serving.releases import Releases, Status
from serving.rollout.controller import alone
from serving.rollout.plan import Plan
from tests.pipeline.ui.conftest import push

WHY = "people said so"


def form(client: httpx.Client, number: int, move: str) -> dict[str, str]:
    """The fields of a confirmation page, with a reason."""
    page = client.get(f"/versions/{number}/{move}")
    assert page.status_code == 200, page.text
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', page.text)) | {"why": WHY}


def send(
    client: httpx.Client, number: int, move: str, fields: dict[str, str], origin: str | None = ""
) -> httpx.Response:
    where = str(client.base_url).rstrip("/") if origin == "" else origin
    headers = {} if where is None else {"Origin": where}
    return client.post(f"/versions/{number}/{move}", data=fields, headers=headers)


def states(releases: Releases) -> list[str]:
    return [f"{s.state} {s.percent}".removesuffix(" 0") for s in releases.statuses().values()]


def order(client: httpx.Client, number: int, move: str) -> str:
    """Makes a move and returns what the page then says."""
    answer = send(client, number, move, form(client, number, move))
    assert answer.status_code == 303, answer.text
    page = client.get(answer.headers["Location"]).text
    return re.search(r'role="status"><h2>Done</h2><p>(.*)</p>', page)[1]  # type: ignore[index]


def test_a_promotion_is_that_of_the_verb_and_is_kept_in_the_history(client, releases) -> None:
    assert order(client, 5, "promote") == "Version 5 is stable."
    assert states(releases) == ["retired", "retired", "retired", "quarantined", "stable"]
    event = releases.history()[-1]
    assert (event["what"], event["why"]) == ("promote", WHY)
    assert re.fullmatch(r"ui \(.+\)", event["by"])
    assert WHY in client.get("/versions").text


def test_a_rollback_takes_the_version_back(client, releases) -> None:
    told = order(client, 3, "rollback")
    assert told == "Version 3 is rolled back and quarantined. Version 2 serves."
    assert states(releases) == ["retired", "stable", "quarantined", "quarantined", "staged"]


def test_a_trial_goes_step_by_step(client, releases) -> None:
    told = [order(client, 5, "advance") for _ in range(4)]
    assert told == [
        "Version 5 is available: the server is to load it.",
        *(f"Version 5 gets {share} % of the requests." for share in (1, 10, 50)),
    ]
    assert states(releases)[4] == "canary 50"
    # The last step makes it stable, which promoting does.
    assert client.get("/versions/5/advance").status_code == 409


def test_the_page_asks_first_and_says_what_will_happen(client, releases) -> None:
    before = states(releases)
    page = client.get("/versions/3/rollback").text
    rows = re.findall(r'<th scope="row">Version (\d)</th>(.*)</tr>', page)
    words = {int(n): re.findall(r"</span>([\w %]+)</span>|>([\d.]+ %)<", row) for n, row in rows}
    told = {number: ["".join(pair) for pair in pairs] for number, pairs in words.items()}
    assert told == {
        3: ["stable", "quarantined", "100 %", "0 %"],
        2: ["retired", "stable", "0 %", "100 %"],
    }
    assert states(releases) == before


@pytest.mark.parametrize("move", ["promote", "rollback"])
def test_what_is_told_beforehand_is_what_happens(releases: Releases, move: str) -> None:
    standing = Standing(releases.folder, Plan())
    row = standing.row(5)
    assert row is not None
    made = next(found for found in row.moves if found.name == move)
    told = {change.number: change.will_be for change in standing.changes(made)}
    before = releases.statuses()
    made.make(releases, WHY, "test", standing.revision)
    changed = {n: s for n, s in releases.statuses().items() if what(s) != what(before[n])}
    assert {n: what(s) for n, s in told.items()} == {n: what(s) for n, s in changed.items()}


def what(status: Status) -> tuple[str, int]:
    return status.state, status.percent


def test_a_double_click_moves_once(client, releases) -> None:
    fields = form(client, 3, "rollback")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: send(client, 3, "rollback", fields), range(4)))
    assert {answer.status_code for answer in answers} == {303}
    assert {answer.headers["Location"] for answer in answers} == {answers[0].headers["Location"]}
    assert [event["what"] for event in releases.history()].count("rollback") == 2  # 4, then 3


@pytest.mark.parametrize("move", ["promote", "rollback", "advance"])
def test_what_changed_meanwhile_is_not_overrun(client, releases, tmp_path, move: str) -> None:
    fields = form(client, 5, move)
    push(releases, tmp_path, "6", "at_once")
    before = (releases.folder / "releases.json").read_text()
    answer = send(client, 5, move, fields)
    assert answer.status_code == 409
    assert "Nothing was changed" in answer.text
    assert "changed since" in answer.text
    assert (releases.folder / "releases.json").read_text() == before


def test_a_change_between_the_look_and_the_lock_is_seen_too(releases, tmp_path) -> None:
    standing = Standing(releases.folder, Plan())
    moves: Sequence[Move] = standing.row(5).moves  # type: ignore[union-attr]
    push(releases, tmp_path, "6", "canary")
    for move in moves:
        with pytest.raises(Exception, match=r"releases\.json changed since it was looked at"):
            move.make(releases, WHY, "test", standing.revision)


def test_a_removed_version_is_no_longer_moved_to(client, releases: Releases) -> None:
    (releases.folder / "2").rename(releases.folder / ".gone")
    page = client.get("/versions/3/rollback").text
    assert "Version 1" in page
    assert "Version 2" not in page
    assert client.get("/versions/2/promote").status_code == 404


@pytest.mark.parametrize(
    ("number", "move", "code", "told"),
    [
        (1, "rollback", 409, "Version 1 is retired"),
        (3, "promote", 409, "Version 3 is stable"),
        (9, "promote", 404, "No version 9"),
        (3, "delete", 409, "cannot be done"),
    ],
)
def test_what_is_not_possible_is_told(client, releases, number, move, code, told) -> None:
    answer = client.get(f"/versions/{number}/{move}")
    assert answer.status_code == code
    assert told in answer.text


def test_a_reason_is_needed(client, releases) -> None:
    fields = form(client, 3, "rollback") | {"why": "  "}
    answer = send(client, 3, "rollback", fields)
    assert answer.status_code == 400
    assert "Say why" in answer.text
    assert states(releases)[2] == "stable"


def test_a_reason_is_text(client, releases) -> None:
    fields = form(client, 3, "rollback") | {"why": "<script>alert(1)</script>"}
    assert send(client, 3, "rollback", fields).status_code == 303
    page = client.get("/versions").text
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    "spoil",
    [
        {"seal": ""},
        {"seal": "0" * 64},
        {"seen": "another"},
        {"order": "another"},
    ],
)
def test_a_form_that_this_server_did_not_make_is_refused(client, releases, spoil) -> None:
    answer = send(client, 3, "rollback", form(client, 3, "rollback") | spoil)
    assert answer.status_code == 403
    assert states(releases)[2] == "stable"


def test_a_form_for_one_move_is_none_for_another(client, releases) -> None:
    fields = form(client, 3, "rollback")
    assert send(client, 5, "rollback", fields).status_code == 403
    assert send(client, 5, "promote", fields).status_code == 403
    assert states(releases)[2] == "stable"


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
def test_a_form_from_elsewhere_is_refused(client, releases, origin) -> None:
    answer = send(client, 3, "rollback", form(client, 3, "rollback"), origin)
    assert answer.status_code == 403
    assert "not sent from this page" in answer.text
    assert states(releases)[2] == "stable"


def test_a_failure_is_told_in_words(client, releases: Releases, project: pathlib.Path) -> None:
    fields = form(client, 3, "rollback")
    project.write_text("serving: [")
    answer = send(client, 3, "rollback", fields)
    assert answer.status_code == 409
    assert "settings.yaml cannot be read" in answer.text
    assert states(releases)[2] == "stable"


def test_orders_that_failed_are_not_tried_again_and_old_ones_are_forgotten() -> None:
    orders, done = Orders(), []

    def work() -> Told:
        done.append(1)
        return Told("no", False)

    assert [orders.carry_out("a", work) for _ in range(3)] == [Told("no", False)] * 3
    assert len(done) == 1
    for number in range(300):
        orders.carry_out(str(number), work)
    assert orders.told("a") is None
    assert orders.told("299") is not None


def test_a_rollout_watches_in_a_process_of_its_own(client, releases: Releases) -> None:
    told = order(client, 5, "rollout")
    assert told == "A rollout of version 5 has begun."
    page = client.get("/versions").text
    assert "is watching" in page
    # It has no second beside it, and other moves can be made meanwhile.
    again = send(client, 5, "rollout", form(client, 5, "rollout"))
    assert again.status_code == 409
    assert "running already" in again.text
    assert order(client, 2, "promote") == "Version 2 is stable."
    seal = re.search(r'name="seal" value="(\w+)"', page)[1]  # type: ignore[index]
    origin = {"Origin": str(client.base_url).rstrip("/")}
    assert client.post("/rollout/stop", data={"seal": "x"}, headers=origin).status_code == 403
    assert client.post("/rollout/stop", data={"seal": seal}, headers=origin).status_code == 303
    assert "is watching" not in client.get("/versions").text
    assert states(releases) == ["retired", "stable", "retired", "quarantined", "staged"]


def test_what_a_rollout_told_at_its_end_is_shown(client, releases: Releases) -> None:
    with alone(releases.folder):
        order(client, 5, "rollout")
        end = time.monotonic() + 120
        while "has ended" not in (page := client.get("/versions").text):
            assert time.monotonic() < end, page
            time.sleep(0.1)
    assert "another rollout of" in page

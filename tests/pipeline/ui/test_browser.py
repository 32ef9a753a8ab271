"""The page in a real browser: moved by clicks and keys, read on a phone."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from playwright import sync_api as playwright

from serving.releases import Releases
from tests.chromium import chromium
from tests.pipeline.ui.conftest import RUNS

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with chromium() as started:
        yield started


class Seen:
    """A page, and what went wrong on it or left this machine."""

    def __init__(self, context: playwright.BrowserContext, address: str) -> None:
        self.page = context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._asked)
        self._here = address.partition("?")[0]
        self.page.goto(address)

    def _asked(self, request: playwright.Request) -> None:
        if not request.url.startswith(self._here):
            self.wrong.append(request.url)

    def go(self, path: str) -> None:
        self.page.goto(self._here.rstrip("/") + path)


@pytest.fixture
def opened(browser: playwright.Browser, address: str, releases: Releases) -> Iterator[Any]:
    """Opens the address in a browser that has these options."""
    contexts = []

    def open_it(**options: Any) -> Seen:
        contexts.append(browser.new_context(**options))
        return Seen(contexts[-1], address)

    yield open_it
    for context in contexts:
        context.close()


def stable(releases: Releases) -> int:
    version = releases.stable()
    assert version is not None
    return version.number


@pytest.mark.parametrize("scripts", [True, False])
def test_promoting_and_rolling_back_by_clicks(opened, releases: Releases, scripts: bool) -> None:
    seen = opened(java_script_enabled=scripts)
    page = seen.page
    page.get_by_role("link", name="Versions").click()
    page.get_by_role("link", name="Make it stable: version 5").click()
    page.get_by_label("Why?").fill("a better one")
    page.get_by_role("button", name="Make it stable").dblclick()
    playwright.expect(page.get_by_role("status")).to_contain_text("Version 5 is stable.")
    assert stable(releases) == 5
    page.get_by_role("link", name="Roll back: version 5").click()
    page.get_by_label("Why?").fill("it was not")
    page.get_by_role("button", name="Roll back").click()
    playwright.expect(page.get_by_role("status")).to_contain_text("Version 3 serves.")
    assert stable(releases) == 3
    assert [event["what"] for event in releases.history()[-2:]] == ["promote", "rollback"]
    assert seen.wrong == []


def test_by_keys_alone_and_a_second_thought(opened, releases: Releases) -> None:
    seen = opened()
    seen.go("/versions/3/rollback")
    # The reason has the focus; an empty one is not sent.
    seen.page.keyboard.press("Enter")
    assert seen.page.url.endswith("/versions/3/rollback")
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("Enter")
    playwright.expect(seen.page.get_by_role("heading", level=1)).to_contain_text("Versions")
    assert stable(releases) == 3
    seen.go("/versions/3/rollback")
    seen.page.keyboard.type("worse")
    seen.page.keyboard.press("Enter")
    playwright.expect(seen.page.get_by_role("status")).to_contain_text("Version 2 serves.")
    assert stable(releases) == 2
    assert seen.wrong == []


def test_two_runs_are_compared_by_ticking_them(opened) -> None:
    seen = opened()
    for run in RUNS:
        seen.page.get_by_label(f"Compare {run}").check()
    seen.page.get_by_role("button", name="Compare").click()
    playwright.expect(seen.page.get_by_role("heading", level=1)).to_have_text("Two runs compared")
    # The drawing's lines have a colour: the style applies.
    line = seen.page.locator("svg path").first
    assert line.evaluate("line => getComputedStyle(line).stroke") not in ("none", "rgb(0, 0, 0)")
    assert seen.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_down_only(opened, scheme: str, tmp_path: pathlib.Path) -> None:
    phone = {"width": 360, "height": 740}
    seen = opened(viewport=phone, color_scheme=scheme)
    ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, ground[4:-1].split(","))) < 100) == (scheme == "dark")
    compare = f"/compare?run={RUNS[0]}&run={RUNS[1]}"
    for path in ("/", f"/runs/{RUNS[0]}", compare, "/versions", "/versions/5/promote"):
        seen.go(path)
        assert seen.page.evaluate("document.documentElement.scrollWidth") == 360, path
    assert seen.wrong == []


def test_another_site_cannot_send_the_form(opened, browser, address, releases, tmp_path) -> None:
    seen = opened()
    page = seen.page.context.new_page()
    # A page of another origin on this machine, to which the cookie is sent.
    other = address.partition("?")[0].replace("127.0.0.1", "localhost")
    form = f"<form method=post action='{seen.page.url}versions/3/rollback'><button>Win</button>"
    page.route(f"{other}**", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto(other)
    page.get_by_role("button").click()
    playwright.expect(page.get_by_role("alert")).to_contain_text("Open the address")
    assert stable(releases) == 3

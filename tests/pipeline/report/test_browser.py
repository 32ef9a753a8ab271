"""A run's page in Debian's Chromium: on a desk, on a phone, in the dark and on paper."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from pipeline.report import report
from tests.chromium import chromium
from tests.pipeline.report import made_run

pytestmark = pytest.mark.services

# The contrast of each text with what lies behind it, after WCAG 2.1: below the page's boxes, or
# within a picture below those of its rectangles that hold the text's middle.
CONTRASTS = """() => {
  const rgba = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return found.length > 3 ? found : [...found, 1];
  };
  const over = (top, below) =>
    [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = (color) => {
    const [r, g, b] = color.map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const around = [];
    for (let e = element; e; e = e.parentElement) around.unshift(getComputedStyle(e));
    return around.map((style) => rgba(style.backgroundColor))
      .reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const box = element.getBoundingClientRect();
    if (!walker.currentNode.data.trim() || !box.width || element.closest("title")) continue;
    const style = getComputedStyle(element);
    let ground = behind(element.closest("svg") ? element.closest("svg").parentElement : element);
    let color = style.color;
    if (element.tagName === "text") {
      color = style.fill;
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      const halo = style.stroke !== "none";
      for (const rect of halo ? [] : element.closest("svg").querySelectorAll("rect")) {
        const r = rect.getBoundingClientRect();
        if (x < r.left || x > r.right || y < r.top || y > r.bottom) continue;
        const own = getComputedStyle(rect);
        const fill = rgba(own.fill);
        ground = over([...fill.slice(0, 3), fill[3] * Number(own.fillOpacity)], ground);
      }
    }
    const [a, b] = [light(over(rgba(color), ground)), light(ground)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.trim().slice(0, 60)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = made_run.make(tmp_path_factory.mktemp("runs"))
    return report.write(folder, "plant").as_uri()


def open_page(browser: Browser, url: str, told: list[str], **options: Any) -> Page:
    """Opens the page; what it says, asks for or shows beside itself goes to ``told``."""
    page = browser.new_page(**options)
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: told.append(dialog.message))
    page.on("request", lambda request: told.append(request.url) if request.url != url else None)
    page.goto(url)
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    return page


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_is_quiet_and_as_wide_as_its_window(browser: Browser, url: str, width: int) -> None:
    told: list[str] = []
    page = open_page(browser, url, told, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("svg.chart:visible").count() > 12
    assert told == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser: Browser, url: str, scheme: Any) -> None:
    page = open_page(browser, url, [], color_scheme=scheme, viewport={"width": 1280, "height": 800})
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 200
    assert [found for found in contrasts if found[0] < 4.5] == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(17, 21, 26)") == (scheme == "dark")
    page.close()


def test_it_prints_black_on_white_whatever_the_screen(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    page = open_page(browser, url, [], color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    style = "getComputedStyle(document.body)"
    assert page.evaluate(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(f"{style}.color") == "rgb(0, 0, 0)"
    printed = page.pdf(format="A4", print_background=True)
    assert printed.startswith(b"%PDF") and len(printed) > 20_000
    page.close()


def test_the_browser_keeps_it_from_the_network(browser: Browser, url: str) -> None:
    page = open_page(browser, url, [])
    refused = page.evaluate(
        """() => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (e) => resolve(e.blockedURI));
          const image = new Image();
          image.src = "http://127.0.0.1:9/pixel.png";
        })"""
    )
    assert refused == "http://127.0.0.1:9/pixel.png"
    page.close()

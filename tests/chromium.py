"""A real Chromium from the system's package, for tests: ``with chromium() as browser``."""

import contextlib
import os
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from tests.installed import program


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A real Chromium without a window."""
    # Its sandbox refuses root, which containers run as.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program("chromium"), args=arguments)
        yield started
        started.close()

"""The browser of the tests marked `browser`: the system's Chromium, so that nothing is downloaded."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# For a busy machine; below what pytest gives a test.
WAIT_MILLISECONDS = 100_000


@contextmanager
def opened_browser() -> Iterator[Browser]:
    """Start it. Inside, the database must not be used in this thread: the browser's event loop runs in it."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("Chromium is missing; scripts/install-browser says how to get it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--lang=en-US"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened_page() -> Iterator[Page]:
    """Open an empty page, in a browser of its own."""
    with opened_browser() as browser:
        page = browser.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        yield page

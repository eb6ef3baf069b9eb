"""The browser of the tests marked `browser`: the system's Chromium, so that nothing is downloaded."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def opened_page() -> Iterator[Page]:
    """Open an empty page. Inside, the database must not be used: the browser's event loop runs in this thread."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("Chromium is missing; scripts/install-browser says how to get it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        try:
            yield browser.new_page()
        finally:
            browser.close()

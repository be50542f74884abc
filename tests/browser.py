"""A headless Chromium for the tests that look at a page."""

import os
import shutil
from contextlib import contextmanager

import pytest

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def chromium():
    """The browser's path; skips the test where there is none."""
    names = (os.environ.get("AELAB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium in PATH: install one, or name it by AELAB_CHROMIUM")
    return found


@contextmanager
def opened(address, **options):
    """A page at an address, and the addresses that it asks for."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as control:
        browser = control.chromium.launch(executable_path=chromium(), args=OPTIONS)
        page = browser.new_page(**options)
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        yield page, requests
        browser.close()

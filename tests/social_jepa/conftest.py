"""A browser for tests of pages."""

import os
import shutil

import pytest

from tests.support.reverse_proxy import HUB

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REMEDY = "the tests of the page need Chromium: sudo apt-get install -y chromium"


@pytest.fixture(scope="session")
def browser():
    """Launch the system's Chromium, in which HUB is this machine; without one fail in CI, else skip."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(REMEDY)
    from playwright.sync_api import sync_playwright

    args = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {HUB} 127.0.0.1"]
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=executable, args=args)
        yield launched
        launched.close()

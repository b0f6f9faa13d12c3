"""A page in the browser."""

import pytest


@pytest.fixture
def page(browser, address):
    """The page at the address of a module's fixture, with its graph; no script may fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(90_000)
    errors = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector("#graph svg g.edge", state="attached")
    yield opened
    context.close()
    assert errors == []

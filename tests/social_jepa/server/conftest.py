"""A page in the browser."""

import pytest


@pytest.fixture
def page(browser, address):
    """The page at the address of a module's fixture, with its graph and its table; no script may fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(90_000)
    errors = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(address)
    for edge in ("#graph svg g.edge", "#matrix td[data-from]"):
        opened.wait_for_selector(edge, state="attached")
    yield opened
    context.close()
    assert errors == []

import pytest

from tests.support.runners import RunnerGroup


@pytest.fixture
def group():
    """Runners on threads and the transport between them; the test's end stops them."""
    made = RunnerGroup()
    yield made
    for name in made.runners:
        made.stop(name)

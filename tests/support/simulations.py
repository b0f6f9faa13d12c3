"""Helpers for tests of a small simulation that stays up."""

import contextlib
import time
from itertools import permutations

from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.ledger import Ledger
from tests.support.command import TINY

# No agent publishes again by itself: every renegotiation is caused by a test.
QUIET = (
    *TINY,
    "scene.bodies=false",
    "negotiation.max_drift=1",
    "training.online_new_ticks=8",
    "training.checkpoint_every=10",
)

TIMEOUT = 240.0  # seconds, on a machine with much else to do


def up(path, address, *settings):
    return Simulation.up(*QUIET, *settings, folder=path, address=address)


@contextlib.contextmanager
def ledger_of(simulation):
    with contextlib.closing(Ledger(simulation.folder.ledger_file)) as ledger:
        yield ledger


@contextlib.contextmanager
def joiner(simulation, *arguments, **wanted):
    """Add an agent, wait until its edges are settled, yield its name, and remove it."""
    agent = simulation.add_agent(*arguments, **wanted)
    try:
        simulation.wait(agent.name, TIMEOUT)
        yield agent.name
    finally:
        simulation.remove_agent(agent.name)


def until(ready, timeout=TIMEOUT):
    deadline = time.monotonic() + timeout
    while not (found := ready()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def status_of(simulation, name):
    return next(agent for agent in simulation.status() if agent.name == name)


def edges(simulation):
    return {(edge.source, edge.target): edge for edge in simulation.results().graph.edges}


def complete(simulation):
    """Return whether every ordered pair has an edge that is not stale."""
    found = edges(simulation)
    names = [agent.name for agent in simulation.status()]
    return found.keys() == set(permutations(names, 2)) and all(
        edge.status != "stale" for edge in found.values()
    )

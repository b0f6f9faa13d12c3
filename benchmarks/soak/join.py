"""Join: what a newcomer's edges cost in messages and seconds, by how many peers there are."""

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.harness import Effort, Metric, at_most, say
from benchmarks.soak.all_parts import CURRENT, TOY, living, newest, reading, until
from social_jepa.graph.records import EdgeRecord
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.ledger import Ledger

SECONDS = 2.0  # beyond its own training
GROWTH = 1.1  # messages per peer, many peers against few; a quadratic cost would be their ratio
SHOWN = (2, 4, 8)
QUIET = 1.0  # seconds without a message after which a conversation is over


@dataclass(frozen=True)
class Join:
    """What one newcomer cost.

    Attributes:
        messages: Of all edges into it and out of it.
        own: Seconds from the request until it had learned and saved what it shows.
        edges: Seconds from then until the ledger held the last of its edges.
    """

    messages: int
    own: float
    edges: float


def join(simulation: Simulation, peers: int) -> Join:
    """Let an agent join so many peers and return what that cost."""
    asked = time.time()
    name = simulation.add_agent()["name"]
    with reading(simulation) as ledger:
        until(f"the {2 * peers} edges of {name}", lambda: len(_held(ledger, name)) >= 2 * peers)
        messages = _when_quiet(ledger, name)
        pairs = [(edge.source, edge.target) for edge in _held(ledger, name)]
        last = max(ledger.history(*pair)[0].time for pair in pairs)
    # the agent writes it just before it tells anybody, and then never again
    published = (simulation.folder.agent(name) / "published.safetensors").stat().st_mtime
    say(f"  {name}: {peers} peers, {messages} messages, edges {last - published:.2f} s after publication")
    return Join(messages, published - asked, last - published)


def _held(ledger: Ledger, name: str) -> list[EdgeRecord]:
    return [
        edge for edge in newest(ledger)
        if name in (edge.source, edge.target) and edge.status in CURRENT
    ]  # fmt: skip


def _when_quiet(ledger: Ledger, name: str) -> int:
    count, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET:
        found = sum(name in (row.edge_source, row.edge_target) for row in ledger.messages())
        if found != count:
            count, since = found, time.monotonic()
        time.sleep(0.1)
    return count


def exponent(counts: Mapping[int, float]) -> float:
    """Return the power of N that counts by N grow with: 1 is linear."""
    logs = [[math.log(number) for number in side] for side in (counts.keys(), counts.values())]
    return statistics.linear_regression(*logs).slope


def rows(joins: Mapping[int, Join]) -> list[Metric]:
    """Return the figures of joins by number of peers."""
    few, many = min(joins), max(joins)
    found = [
        Metric(f"messages of a newcomer, {n} peers", joins[n].messages, "", "ordered pairs it is in", 2 * n)
        for n in joins if n in SHOWN or n == many
    ]  # fmt: skip
    found += [
        Metric(
            f"messages per peer, {many} peers", joins[many].messages / many, "", f"with {few} peers",
            joins[few].messages / few, at_most(GROWTH, of_ratio=True),
        ),
        Metric(
            f"messages grow with N to the power of, N {few} to {many}",
            exponent({n: each.messages for n, each in joins.items()}), "", "linear", 1.0, at_most(GROWTH),
        ),
    ]  # fmt: skip
    return found + [
        Metric(
            f"from a newcomer's publication to its last edge, {n} peers", joins[n].edges, "s",
            "its start and its own training", joins[n].own, at_most(SECONDS) if n == many else None,
        )
        for n in joins if n in SHOWN or n == many
    ]  # fmt: skip


def figures(effort: Effort) -> list[Metric]:
    """Let agents join one after another, all others published and learning on."""
    with living((*TOY, *effort.settings)) as simulation:
        simulation.wait(timeout=120.0)
        return rows({peers: join(simulation, peers) for peers in range(2, max(3, effort.of(8)) + 1)})

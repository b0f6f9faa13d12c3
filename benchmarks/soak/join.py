"""Join: messages and seconds of a joiner's edges by the number of its peers."""

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.harness import Effort, Metric, at_most, log
from benchmarks.soak.common import CURRENT, TOY, latest_edges, open_ledger, simulation_up, wait_until
from social_jepa.records import EdgeRecord
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.ledger import Ledger

MAX_SECONDS = 2.0  # beyond its own training
MAX_GROWTH = 1.1  # of messages per peer from few to many peers; quadratic cost gives the ratio of peers
SHOWN = (2, 4, 8)
QUIET_SECONDS = 1.0  # without a message, after which a negotiation is over


@dataclass(frozen=True)
class Join:
    """Cost of one joiner.

    Attributes:
        messages: Of all edges into and out of it.
        own: Seconds from the request until it has trained and published its model.
        edges: Seconds from then until its last edge is in the ledger.
    """

    messages: int
    own: float
    edges: float


def join(simulation: Simulation, peers: int) -> Join:
    """Let an agent join a number of peers and return the cost."""
    requested = time.time()
    name = simulation.add_agent().name
    with open_ledger(simulation) as ledger:
        wait_until(f"the {2 * peers} edges of {name}", lambda: len(_current_edges(ledger, name)) >= 2 * peers)
        messages = _messages_when_quiet(ledger, name)
        pairs = [(edge.source, edge.target) for edge in _current_edges(ledger, name)]
        last = max(ledger.history(*pair)[0].time for pair in pairs)
    # written once, just before the agent publishes
    published = (simulation.folder.agent(name) / "published.safetensors").stat().st_mtime
    log(f"  {name}: {peers} peers, {messages} messages, edges {last - published:.2f} s after publication")
    return Join(messages, published - requested, last - published)


def _current_edges(ledger: Ledger, name: str) -> list[EdgeRecord]:
    return [
        edge for edge in latest_edges(ledger)
        if name in (edge.source, edge.target) and edge.status in CURRENT
    ]  # fmt: skip


def _messages_when_quiet(ledger: Ledger, name: str) -> int:
    count, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        found = sum(name in (row.edge_source, row.edge_target) for row in ledger.messages())
        if found != count:
            count, since = found, time.monotonic()
        time.sleep(0.1)
    return count


def exponent(counts: Mapping[int, float]) -> float:
    """Return the exponent of the growth of counts by N: 1 is linear."""
    logs = [[math.log(number) for number in side] for side in (counts.keys(), counts.values())]
    return statistics.linear_regression(*logs).slope


def rows(joins: Mapping[int, Join]) -> list[Metric]:
    """Return the metrics of joins by number of peers."""
    few, many = min(joins), max(joins)
    found = [
        Metric(f"messages of a joiner, {n} peers", joins[n].messages, "", "its ordered pairs", 2 * n)
        for n in joins if n in SHOWN or n == many
    ]  # fmt: skip
    found += [
        Metric(
            f"messages per peer, {many} peers", joins[many].messages / many, "", f"with {few} peers",
            joins[few].messages / few, at_most(MAX_GROWTH, of_ratio=True),
        ),
        Metric(
            f"growth exponent of messages, {few} to {many} peers",
            exponent({n: each.messages for n, each in joins.items()}), "", "linear", 1.0, at_most(MAX_GROWTH),
        ),
    ]  # fmt: skip
    return found + [
        Metric(
            f"from a joiner's publication to its last edge, {n} peers", joins[n].edges, "s",
            "its start and its own training", joins[n].own, at_most(MAX_SECONDS) if n == many else None,
        )
        for n in joins if n in SHOWN or n == many
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Let agents join one after another, while all others have published and keep training."""
    with simulation_up((*TOY, *effort.settings)) as simulation:
        simulation.wait(timeout=120.0)
        return rows({peers: join(simulation, peers) for peers in range(2, max(3, effort.of(8)) + 1)})

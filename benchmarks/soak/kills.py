"""Kills: agents die in mid-training and in mid-negotiation; how soon each is back, and what is lost."""

import os
import random
import signal
import statistics
import time
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import NamedTuple

from agents.training.checkpoint import read_checkpoint
from benchmarks.harness import Effort, Metric, at_most, say, seconds
from benchmarks.soak.all_parts import CURRENT, TOY, absent_pairs, by_name, is_back, living, reading, until
from social_jepa.graph.records import EdgeRecord
from social_jepa.runtime.simulation import Simulation

SECONDS = 5.0
SEED = 0
AGENTS, KILLS, STEPS = 6, 20, 1800
LAST_WORDS = 60.0  # seconds after the last recovery in which all edges should be settled
KEY = (
    "source",
    "target",
    "round",
    "source_incarnation",
    "target_incarnation",
    "source_checkpoint",
    "target_checkpoint",
)


class Kill(NamedTuple):
    """One kill.

    Attributes:
        seconds: Until the agent reported from its next life, no earlier than its checkpoint.
        training: Whether it was killed before it had published anything.
        open: Agents with an edge that was not settled at that moment.
    """

    seconds: float
    training: bool
    open: int


def kill(simulation: Simulation, name: str) -> Kill:
    """Kill an agent's process and return how soon it was back."""
    agents = by_name(simulation)
    agent = agents[name]
    os.kill(agent["pid"], signal.SIGKILL)
    began = time.perf_counter()
    path = simulation.folder.agent(name) / "checkpoint.safetensors"
    step = int(read_checkpoint(path)[1]["step"]) if path.exists() else 0
    until(f"{name} back", lambda: is_back(by_name(simulation)[name], agent["incarnation"], step), every=0.02)
    took = time.perf_counter() - began
    unsettled = sum(not each["settled"] for each in agents.values())
    at = agent["progress"]["step"] if agent["progress"] else 0
    say(f"  {name} killed at step {at}, back at {step} or later in {took:.2f} s")
    return Kill(took, not agent["checkpoint"], unsettled)


def spree(simulation: Simulation, names: Sequence[str], count: int) -> list[Kill]:
    """Kill random agents: half of them while all learn, half from the first negotiation on."""
    rng = random.Random(SEED)
    kills: list[Kill] = []
    until("all agents at work", lambda: all(each["pid"] for each in by_name(simulation).values()))
    while len(kills) < count:
        if len(kills) == count // 2:
            say("  waiting for the courses to end")
            until("all published", lambda: all(each["checkpoint"] for each in by_name(simulation).values()))
        time.sleep(rng.uniform(0, 1))
        kills.append(kill(simulation, rng.choice(names)))
    return kills


def doubled(edges: Iterable[EdgeRecord]) -> int:
    """Return how many edges were written more than once for one pair, round, lives and versions."""
    keys = [tuple(getattr(edge, key) for key in KEY) for edge in edges if edge.status in CURRENT]
    return len(keys) - len(set(keys))


def rows(
    kills: Sequence[Kill], first: float, lost: int, twice: int, written: int, pairs: int
) -> list[Metric]:
    """Return the figures of a spree."""
    took, start = [each.seconds for each in kills], "a newcomer's first report"
    return [
        Metric(
            "from a kill to the next report, median", statistics.median(took), "s", start, first,
            at_most(SECONDS),
        ),
        Metric("from a kill to the next report, worst", max(took), "s", start, first),
        Metric("kills in the first course", sum(each.training for each in kills), "", "kills", len(kills)),
        Metric(
            "kills later, with edges not settled", sum(not each.training and each.open > 0 for each in kills),
            "", "kills", len(kills),
        ),
        Metric("edges lost", lost, "", "ordered pairs", pairs, at_most(0)),
        Metric("edges written twice", twice, "", "edges written", written, at_most(0)),
    ]  # fmt: skip


def figures(effort: Effort) -> list[Metric]:
    """Kill agents of one simulation, then look at its graph."""
    count = max(3, effort.of(AGENTS))
    course = (f"agents.count={count}", f"training.steps={effort.of(STEPS)}", "training.checkpoint_every=20")
    with living((*TOY, *course, *effort.settings)) as simulation:
        names = simulation.folder.config().names()
        kills = spree(simulation, names, max(2, effort.of(KILLS)))
        lost = _lost(simulation, names)
        with reading(simulation) as ledger:
            edges = [edge for pair in permutations(names, 2) for edge in ledger.history(*pair)]
        first = seconds(simulation.add_agent)
    return rows(kills, first, lost, doubled(edges), len(edges), count * (count - 1))


def _lost(simulation: Simulation, names: Sequence[str]) -> int:
    last = time.monotonic() + LAST_WORDS
    while time.monotonic() < last:
        settled = all(each["settled"] for each in by_name(simulation).values())
        if settled and not absent_pairs(simulation.results().document.edges, names):
            break
        time.sleep(0.2)
    return len(absent_pairs(simulation.results().document.edges, names))

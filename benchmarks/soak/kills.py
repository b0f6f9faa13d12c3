"""Kills: recovery time of agents killed during training and negotiation, and lost edges."""

import os
import random
import signal
import statistics
import time
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import NamedTuple

from agents.training.checkpoint import read_checkpoint
from benchmarks.harness import Effort, Metric, at_most, log, seconds
from benchmarks.soak.common import (
    CURRENT,
    TOY,
    agents_by_name,
    has_recovered,
    missing_pairs,
    open_ledger,
    simulation_up,
    wait_until,
)
from social_jepa.records import EdgeRecord
from social_jepa.runtime.simulation import Simulation

MAX_SECONDS = 5.0
SEED = 0
AGENTS, KILLS, STEPS = 6, 20, 1800
SETTLE_TIMEOUT = 60.0  # seconds after the last recovery for all edges to settle
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
        seconds: Until the agent reported from its next incarnation, at its checkpoint or later.
        training: Whether it was killed before its first publication.
        open: Agents with unsettled edges at that time.
    """

    seconds: float
    training: bool
    open: int


def kill(simulation: Simulation, name: str) -> Kill:
    """Kill an agent's process and return its recovery."""
    agents = agents_by_name(simulation)
    agent = agents[name]
    os.kill(agent.pid, signal.SIGKILL)
    began = time.perf_counter()
    path = simulation.folder.agent(name) / "checkpoint.safetensors"
    step = int(read_checkpoint(path)[1]["step"]) if path.exists() else 0
    wait_until(
        f"recovery of {name}",
        lambda: has_recovered(agents_by_name(simulation)[name], agent.incarnation, step),
        every=0.02,
    )
    duration = time.perf_counter() - began
    unsettled = sum(not each.settled for each in agents.values())
    at = agent.progress.step if agent.progress else 0
    log(f"  {name} killed at step {at}, recovered at {step} or later in {duration:.2f} s")
    return Kill(duration, not agent.checkpoint, unsettled)


def kill_many(simulation: Simulation, names: Sequence[str], count: int) -> list[Kill]:
    """Kill random agents: half of the kills during training, half from the first negotiation on."""
    rng = random.Random(SEED)
    kills: list[Kill] = []
    wait_until("all agents running", lambda: all(each.pid for each in agents_by_name(simulation).values()))
    while len(kills) < count:
        if len(kills) == count // 2:
            log("  waiting for training to end")
            wait_until(
                "all published",
                lambda: all(each.checkpoint for each in agents_by_name(simulation).values()),
            )
        time.sleep(rng.uniform(0, 1))
        kills.append(kill(simulation, rng.choice(names)))
    return kills


def count_duplicates(edges: Iterable[EdgeRecord]) -> int:
    """Return the number of duplicate edges of one pair, round, incarnations and checkpoints."""
    keys = [tuple(getattr(edge, key) for key in KEY) for edge in edges if edge.status in CURRENT]
    return len(keys) - len(set(keys))


def rows(
    kills: Sequence[Kill], first: float, lost: int, duplicates: int, written: int, pairs: int
) -> list[Metric]:
    """Return the metrics of all kills."""
    durations, reference = [each.seconds for each in kills], "a joiner's first report"
    return [
        Metric(
            "from a kill to the next report, median", statistics.median(durations), "s", reference, first,
            at_most(MAX_SECONDS),
        ),
        Metric("from a kill to the next report, worst", max(durations), "s", reference, first),
        Metric(
            "kills during the first training run", sum(each.training for each in kills), "", "kills",
            len(kills),
        ),
        Metric(
            "kills later, with unsettled edges", sum(not each.training and each.open > 0 for each in kills),
            "", "kills", len(kills),
        ),
        Metric("edges lost", lost, "", "ordered pairs", pairs, at_most(0)),
        Metric("duplicate edges", duplicates, "", "edges written", written, at_most(0)),
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Kill agents of one simulation, then check its graph."""
    count = max(3, effort.of(AGENTS))
    overrides = (
        f"agents.count={count}",
        f"training.steps={effort.of(STEPS)}",
        "training.checkpoint_every=20",
    )
    with simulation_up((*TOY, *overrides, *effort.settings)) as simulation:
        names = simulation.folder.config().names()
        kills = kill_many(simulation, names, max(2, effort.of(KILLS)))
        lost = _lost(simulation, names)
        with open_ledger(simulation) as ledger:
            edges = [edge for pair in permutations(names, 2) for edge in ledger.history(*pair)]
        first = seconds(simulation.add_agent)
    return rows(kills, first, lost, count_duplicates(edges), len(edges), count * (count - 1))


def _lost(simulation: Simulation, names: Sequence[str]) -> int:
    deadline = time.monotonic() + SETTLE_TIMEOUT
    while time.monotonic() < deadline:
        settled = all(each.settled for each in agents_by_name(simulation).values())
        if settled and not missing_pairs(simulation.results().document.edges, names):
            break
        time.sleep(0.2)
    return len(missing_pairs(simulation.results().document.edges, names))

"""Churn: a hundred agents join and leave; what remains of them in Ray, in the graph and in memory."""

import time
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.harness import BenchmarkError, Effort, Metric, at_most, log
from benchmarks.soak.common import (
    CURRENT,
    TOY,
    agents_by_name,
    latest_edges,
    open_ledger,
    simulation_up,
    steady_mib,
    supervisor_pid,
    wait_until,
)
from social_jepa.records import EdgeRecord
from social_jepa.runtime.cluster import SUPERVISOR, names_in
from social_jepa.runtime.simulation import Simulation

CYCLES = 100
WARMUP_SHARE = 0.2  # share of the cycles after which memory should be stable
MAX_GROWTH = 1.02
JOINER_SETTINGS = ("training.steps=20",)  # a short training run: its result does not matter here
EXIT_TIMEOUT = 15.0  # seconds for the process of the last leaver to exit


def cycle(simulation: Simulation) -> str:
    """Let one agent join, settle all its edges, and leave; return its name."""
    name = simulation.add_agent(settings=JOINER_SETTINGS, wait=True).name
    simulation.remove_agent(name)
    return name


def memory(simulation: Simulation) -> dict[str, float]:
    """Return the memory of the supervisor and of every agent in MiB, once all edges are settled."""
    wait_until(
        "all agents settled", lambda: all(each.settled for each in agents_by_name(simulation).values())
    )
    time.sleep(2.0)
    pids = {name: agent.pid for name, agent in agents_by_name(simulation).items()}
    return steady_mib({SUPERVISOR: supervisor_pid(simulation), **pids})


def edges_of_leavers(edges: Iterable[EdgeRecord], leavers: Iterable[str]) -> list[EdgeRecord]:
    """Return the current edges of agents that have left."""
    left = set(leavers)
    return [
        edge for edge in edges if edge.status in CURRENT and left & {edge.source, edge.target}
    ]  # fmt: skip


def rows(
    early: Mapping[str, float], late: Mapping[str, float], cycles: Sequence[int], remaining: Mapping[str, int]
) -> list[Metric]:
    """Return the metrics: memory after some cycles and after all, and what remains by kind."""
    agents = [name for name in early if name != SUPERVISOR]
    worst = max(agents, key=lambda name: late[name] / early[name])
    threshold, before = at_most(MAX_GROWTH, of_ratio=True), f"after {cycles[0]} cycles"
    after = f"after {cycles[1]} cycles"
    return [
        *(
            Metric(f"{after}: {what}", count, "", "agents that joined and left", cycles[1], at_most(0))
            for what, count in remaining.items()
        ),
        Metric(
            f"{after}: memory of the supervisor", late[SUPERVISOR], "MiB", before, early[SUPERVISOR],
            threshold,
        ),
        Metric(
            f"{after}: memory of the agent that grew most", late[worst], "MiB", before, early[worst],
            threshold,
        ),
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Let agents join and leave while two others stay."""
    cycles = max(2, effort.of(CYCLES))
    first = max(1, round(WARMUP_SHARE * cycles))
    leavers: list[str] = []
    early: dict[str, float] = {}
    with simulation_up((*TOY, *effort.settings)) as simulation:
        simulation.wait(timeout=120.0)
        for number in range(1, cycles + 1):
            leavers.append(cycle(simulation))
            if number == first:
                early = memory(simulation)
            if number % 10 == 0:
                log(f"  {number} of {cycles}")
        late = memory(simulation)
        remaining = remains(simulation, leavers)
    return rows(early, late, (first, cycles), remaining)


def remains(simulation: Simulation, leavers: Sequence[str]) -> dict[str, int]:
    """Return the number of actors and edges that remain of leavers, by kind."""
    namespace = simulation.folder.namespace
    with open_ledger(simulation) as ledger:
        present = {SUPERVISOR, *(member.actor_name for member in ledger.members())}

    def orphans() -> set[str]:
        return set(names_in(namespace)) - present

    try:
        wait_until("exit of all leavers", lambda: not orphans(), EXIT_TIMEOUT)
    except BenchmarkError:
        log(f"  still alive: {', '.join(sorted(orphans()))}")
    with open_ledger(simulation) as ledger:
        open_edges = edges_of_leavers(latest_edges(ledger), leavers)
    for edge in open_edges:
        log(f"  still {edge.status}: {edge.source} > {edge.target}, round {edge.round}")
    shown = edges_of_leavers(simulation.results().document.edges, leavers)
    return {
        "actors of leavers": len(orphans()),
        "edges of leavers in the graph": len(shown),
        "edges of leavers without a tombstone": len(open_edges),
    }

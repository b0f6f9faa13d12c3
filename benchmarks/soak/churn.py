"""Churn: agents come and go a hundred times; nothing of them stays, in Ray, in the graph or in memory."""

import time
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.harness import BenchmarkError, Effort, Metric, at_most, say
from benchmarks.soak.all_parts import (
    CURRENT,
    TOY,
    by_name,
    keeper_pid,
    living,
    newest,
    reading,
    steady_mib,
    until,
)
from social_jepa.graph.records import EdgeRecord
from social_jepa.runtime.cluster import SUPERVISOR, names_in
from social_jepa.runtime.simulation import Simulation

CYCLES = 100
SETTLED_AFTER = 0.2  # share of the cycles after which memory should have found its level
GROWTH = 1.02
BRIEF = ("training.steps=20",)  # a newcomer's own course: it is not what it learns that counts
ENDED = 15.0  # seconds in which the process of the last leaver ends


def cycle(simulation: Simulation) -> str:
    """Let one agent come, settle all its edges, and leave; return its name."""
    name = str(simulation.add_agent(settings=BRIEF, wait=True)["name"])
    simulation.remove_agent(name)
    return name


def memory(simulation: Simulation) -> dict[str, float]:
    """Return what the keeper and every agent hold, in MiB, once nobody is busy with somebody's coming."""
    until("everybody settled", lambda: all(each["settled"] for each in by_name(simulation).values()))
    time.sleep(2.0)
    pids = {name: agent["pid"] for name, agent in by_name(simulation).items()}
    return steady_mib({SUPERVISOR: keeper_pid(simulation), **pids})


def touching(edges: Iterable[EdgeRecord], gone: Iterable[str]) -> list[EdgeRecord]:
    """Return the edges that hold and touch somebody who is gone."""
    left = set(gone)
    return [
        edge for edge in edges if edge.status in CURRENT and left & {edge.source, edge.target}
    ]  # fmt: skip


def rows(
    early: Mapping[str, float], late: Mapping[str, float], cycles: Sequence[int], left: Mapping[str, int]
) -> list[Metric]:
    """Return the figures: memory after some cycles and after all, and what was left behind by kind."""
    agents = [name for name in early if name != SUPERVISOR]
    worst = max(agents, key=lambda name: late[name] / early[name])
    goal, before = at_most(GROWTH, of_ratio=True), f"after {cycles[0]} cycles"
    after = f"after {cycles[1]} cycles"
    return [
        *(
            Metric(f"{after}: {what}", count, "", "agents that came and left", cycles[1], at_most(0))
            for what, count in left.items()
        ),
        Metric(f"{after}: memory of the keeper", late[SUPERVISOR], "MiB", before, early[SUPERVISOR], goal),
        Metric(
            f"{after}: memory of the agent that grew most", late[worst], "MiB", before, early[worst], goal
        ),
    ]  # fmt: skip


def figures(effort: Effort) -> list[Metric]:
    """Let agents come and go, two others staying."""
    cycles = max(2, effort.of(CYCLES))
    first = max(1, round(SETTLED_AFTER * cycles))
    gone: list[str] = []
    early: dict[str, float] = {}
    with living((*TOY, *effort.settings)) as simulation:
        simulation.wait(timeout=120.0)
        for number in range(1, cycles + 1):
            gone.append(cycle(simulation))
            if number == first:
                early = memory(simulation)
            if number % 10 == 0:
                say(f"  {number} of {cycles}")
        late = memory(simulation)
        left = remains(simulation, gone)
    return rows(early, late, (first, cycles), left)


def remains(simulation: Simulation, gone: Sequence[str]) -> dict[str, int]:
    """Return how much of those who left is still there, by kind."""
    namespace, here = simulation.folder.namespace, {SUPERVISOR, *by_name(simulation)}

    def orphans() -> set[str]:
        return set(names_in(namespace)) - here

    try:
        until("the end of all who left", lambda: not orphans(), ENDED)
    except BenchmarkError:
        say(f"  still alive: {', '.join(sorted(orphans()))}")
    with reading(simulation) as ledger:
        written = touching(newest(ledger), gone)
    for edge in written:
        say(f"  still {edge.status}: {edge.source} > {edge.target}, round {edge.round}")
    shown = touching(simulation.results().document.edges, gone)
    return {
        "actors of leavers": len(orphans()),
        "edges of leavers in the graph": len(shown),
        "edges of leavers without a tombstone": len(written),
    }

"""Disturbance: how fast an agent learns on while others join and leave, against alone, in turns.

One agent with one thread learns on; beside it, on a core of their own where there are two, newcomers start,
learn, negotiate with it and leave again. Its steps are counted by second of wall time and by second of CPU
time of its own process. The first shows whether it has to wait, the second whether it has to work more.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.harness import Effort, Metric, at_least, say
from benchmarks.soak.all_parts import TOY, by_name, cpu_seconds, living, until
from social_jepa.runtime.simulation import Simulation

SHARE = 0.95
JOINS = 3  # newcomers in a turn
LEARNER = "agent-0"


class Mark(NamedTuple):
    """Where the agent was at a moment."""

    step: int
    wall: float
    cpu: float


class Speed(NamedTuple):
    """Steps by second of one turn."""

    wall: float
    cpu: float


def mark(simulation: Simulation) -> Mark:
    """Return where the agent is, at the moment at which another of its steps becomes known."""
    before = by_name(simulation)[LEARNER]["progress"]["step"]

    def moved() -> Mark | None:
        agent = by_name(simulation)[LEARNER]
        step = agent["progress"]["step"]
        return Mark(step, time.perf_counter(), cpu_seconds(agent["pid"])) if step > before else None

    found: Mark = until(f"another step of {LEARNER}", moved, every=0.02)
    return found


def speed(simulation: Simulation, work: Callable[[], object]) -> Speed:
    """Return how fast the agent learns while some work is done."""
    began = mark(simulation)
    work()
    ended = mark(simulation)
    steps = ended.step - began.step
    return Speed(steps / (ended.wall - began.wall), steps / (ended.cpu - began.cpu))


def come_and_go(simulation: Simulation, count: int) -> None:
    """Let newcomers join, settle all their edges, and leave, one after another."""
    for _ in range(count):
        name = simulation.add_agent(wait=True)["name"]
        simulation.remove_agent(name)


def rows(disturbed: Sequence[Speed], alone: Sequence[Speed]) -> list[Metric]:
    """Return the figures of turns with and without newcomers."""
    goal = at_least(SHARE, of_ratio=True)
    return [
        Metric(
            f"learning while others join and leave, by second of {name}",
            statistics.median(getattr(turn, key) for turn in disturbed), "steps/s", "undisturbed",
            statistics.median(getattr(turn, key) for turn in alone), goal,
        )
        for key, name in (("wall", "wall time"), ("cpu", "its CPU time"))
    ]  # fmt: skip


def figures(effort: Effort) -> list[Metric]:
    """Take turns: newcomers come and go, then as long without them."""
    disturbed, alone = [], []
    with living((*TOY, *effort.settings)) as simulation:
        simulation.wait(timeout=120.0)
        simulation.remove_agent("agent-1")
        come_and_go(simulation, 1)  # uncounted
        for turn in range(effort.of(5)):
            say(f"  turn {turn + 1} of {effort.of(5)}")
            began = time.perf_counter()
            disturbed.append(speed(simulation, lambda: come_and_go(simulation, effort.of(JOINS))))
            took = time.perf_counter() - began
            time.sleep(1.0)  # the last newcomer's process ends
            alone.append(speed(simulation, lambda took=took: time.sleep(took)))  # type: ignore[misc]
    return rows(disturbed, alone)

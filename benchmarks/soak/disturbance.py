"""Disturbance: training speed of an agent while others join and leave, against undisturbed, in turns.

One agent with one thread keeps training; beside it, on another CPU if there are two, joiners start, train,
negotiate with it and leave again. Its steps are counted per second of wall time, which shows waiting, and per
second of CPU time of its own process, which shows additional work.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.harness import Effort, Metric, at_least, log
from benchmarks.soak.common import TOY, agents_by_name, cpu_seconds, simulation_up, wait_until
from social_jepa.records import AgentStatus
from social_jepa.runtime.simulation import Simulation

MIN_SPEED_RATIO = 0.95
JOINERS = 3  # in a turn
LEARNER = "agent-0"


class Mark(NamedTuple):
    """Progress of the agent at one time."""

    step: int
    wall: float
    cpu: float


class Speed(NamedTuple):
    """Steps per second in one turn."""

    wall: float
    cpu: float


def _step(agent: AgentStatus) -> int:
    return agent.progress.step if agent.progress else 0


def mark(simulation: Simulation) -> Mark:
    """Return the progress of the agent right after its status shows a new step."""
    before = _step(agents_by_name(simulation)[LEARNER])

    def advanced() -> Mark | None:
        agent = agents_by_name(simulation)[LEARNER]
        step = _step(agent)
        return Mark(step, time.perf_counter(), cpu_seconds(agent.pid)) if step > before else None

    found: Mark = wait_until(f"another step of {LEARNER}", advanced, every=0.02)
    return found


def speed(simulation: Simulation, work: Callable[[], object]) -> Speed:
    """Return the speed of the agent during a function call."""
    began = mark(simulation)
    work()
    ended = mark(simulation)
    steps = ended.step - began.step
    return Speed(steps / (ended.wall - began.wall), steps / (ended.cpu - began.cpu))


def join_and_leave(simulation: Simulation, count: int) -> None:
    """Let agents join, settle all their edges, and leave, one after another."""
    for _ in range(count):
        name = simulation.add_agent(wait=True).name
        simulation.remove_agent(name)


def rows(disturbed: Sequence[Speed], alone: Sequence[Speed]) -> list[Metric]:
    """Return the metrics of turns with and without joiners."""
    threshold = at_least(MIN_SPEED_RATIO, of_ratio=True)
    return [
        Metric(
            f"training while others join and leave, per second of {name}",
            statistics.median(getattr(turn, key) for turn in disturbed), "steps/s", "undisturbed",
            statistics.median(getattr(turn, key) for turn in alone), threshold,
        )
        for key, name in (("wall", "wall time"), ("cpu", "CPU time"))
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Take turns: agents join and leave, then the same duration without them."""
    disturbed, alone = [], []
    with simulation_up((*TOY, *effort.settings)) as simulation:
        simulation.wait(timeout=120.0)
        simulation.remove_agent("agent-1")
        join_and_leave(simulation, 1)  # uncounted
        for turn in range(effort.of(5)):
            log(f"  turn {turn + 1} of {effort.of(5)}")
            began = time.perf_counter()
            disturbed.append(speed(simulation, lambda: join_and_leave(simulation, effort.of(JOINERS))))
            duration = time.perf_counter() - began
            time.sleep(1.0)  # the last joiner's process exits
            alone.append(speed(simulation, lambda duration=duration: time.sleep(duration)))  # type: ignore[misc]
    return rows(disturbed, alone)

"""CPU share: what a learning agent gets beside busy programs, and how fast it replies while it learns.

The busy programs are processes of the simulation's own Ray that never wait. Processes of another session
would not do: where the kernel groups processes by session (autogroup), sessions get equal shares whatever the
priorities in them, and a low priority of the agent would not show.
"""

import agents.common.ray_environment  # noqa: F401

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import Effort, Measurement, Metric, alternate, at_least
from benchmarks.processes import Worker
from benchmarks.soak.common import TOY, agents_by_name, cpu_seconds, simulation_up, wait_until
from social_jepa.runtime.simulation import Simulation
from social_jepa.system.machine import usable_cpus

MIN_SHARE = 1 / 3  # of the CPU of a busy program
AGENTS = 4
LEARNER, ACTOR = "agent-0", "actor-0"  # an agent, and where it lives
SECONDS = 10.0  # of one measurement
ROUNDS = 3  # at most
REQUEST_SECONDS = 0.05  # between two requests to the agent


class Busy:
    """A program that never waits."""

    def ready(self) -> None:
        """Return once the process has started."""

    def spin(self, seconds: float) -> float:
        """Take as much CPU as the kernel gives; return CPU seconds by second."""
        began, cpu = time.perf_counter(), time.process_time()
        while (passed := time.perf_counter() - began) < seconds:
            pass
        return (time.process_time() - cpu) / passed


class Observer:
    """A process that has joined the Ray of a simulation, calls its agents and starts busy programs there."""

    def __init__(self, address: str, namespace: str) -> None:
        """Join."""
        from social_jepa.runtime.cluster import connect

        connect(address, private=True)
        self._namespace = namespace

    def __call__(self, pid: int, checkpoint: str, busy: int, seconds: float) -> dict[str, float]:
        """Observe an agent for some seconds beside a number of busy programs.

        Args:
            pid: Process of the agent.
            checkpoint: What it has published; its reply leaves that out.
            busy: Number of busy programs.
            seconds: Duration.

        Returns:
            CPU seconds by second of the agent's process and of a busy program, and the median and the 99th
            percentile of the agent's replies in ms.
        """
        import ray

        actor: Any = ray.get_actor(ACTOR, self._namespace)
        start: Any = ray.remote(num_cpus=0)(Busy).remote
        programs = [start() for _ in range(busy)]
        ray.get([each.ready.remote() for each in programs])
        began, cpu, replies = time.perf_counter(), cpu_seconds(pid), []
        spins = [each.spin.remote(seconds) for each in programs]
        while (sent := time.perf_counter()) - began < seconds:
            ray.get(actor.report.remote(LEARNER, 0, 0, checkpoint))
            replies.append(1e3 * (time.perf_counter() - sent))
            time.sleep(REQUEST_SECONDS)
        share = (cpu_seconds(pid) - cpu) / (time.perf_counter() - began)
        program = statistics.fmean(ray.get(spins)) if spins else 0.0
        for each in programs:
            ray.kill(each)
        p99 = statistics.quantiles(replies, n=100, method="inclusive")[98]
        return {"agent": share, "program": program, "p50": statistics.median(replies), "p99": p99}


def observe(
    simulation: Simulation, observer: Worker, learners: Sequence[str], busy: int, seconds: float
) -> dict[str, float]:
    """Let some agents learn and the others pause, and observe one of them."""
    agents = agents_by_name(simulation)
    for name, agent in agents.items():
        if agent.paused is (name in learners):
            (simulation.resume_learning if agent.paused else simulation.pause)(name)

    def as_wanted() -> bool:
        found = agents_by_name(simulation)
        return all((agent.phase == "paused") is (name not in learners) for name, agent in found.items())

    wait_until("agents pause or learn", as_wanted)
    agent = agents[LEARNER]
    return observer(pid=agent.pid, checkpoint=agent.checkpoint, busy=busy, seconds=seconds)


def rows(measured: Mapping[str, Mapping[str, float]], busy: int) -> list[Metric]:
    """Return the metrics of a learning agent, each beside a busy program or the same agent when it pauses.

    Args:
        measured: What `Observer` returned under the conditions of `metrics`.
        busy: Number of busy programs.
    """
    found = [
        Metric(
            f"CPU of a learning agent beside {busy} busy programs", measured["busy"]["agent"], "s/s",
            "a busy program", measured["busy"]["program"], at_least(MIN_SHARE, of_ratio=True),
        )
    ]  # fmt: skip
    labels = {"busy": f"learning beside {busy} busy programs", "all": f"all {AGENTS} agents learn"}
    for name, label in labels.items():
        learning, paused = measured[name], measured[f"{name}, paused"]
        for key, word in (("p50", "median"), ("p99", "99th percentile")):
            metric = Metric(f"reply, {label}: {word}", learning[key], "ms", "paused", paused[key])
            found.append(metric)
    return found


def metrics(effort: Effort) -> list[Metric]:
    """Observe one agent in turns, learning and paused, beside busy programs and beside other learners."""
    busy, seconds = usable_cpus(), SECONDS * effort.size
    settings = (*TOY, f"agents.count={AGENTS}", "training.online_duty=1", *effort.settings)
    with simulation_up(settings) as simulation:
        simulation.wait(timeout=300.0)
        found, namespace = simulation.folder.simulation(), simulation.folder.namespace
        assert found is not None
        with Worker(
            "benchmarks.soak.cpu_share:Observer", address=found.address, namespace=namespace
        ) as observer:

            def measure(learners: Sequence[str], programs: int) -> Measurement:
                return lambda: observe(simulation, observer, learners, programs, seconds)

            conditions = {
                "busy": measure([LEARNER], busy), "busy, paused": measure([], busy),
                "all": measure(list(agents_by_name(simulation)), 0), "all, paused": measure([], 0),
            }  # fmt: skip
            measured = alternate(conditions, min(effort.rounds, ROUNDS))
    return rows(measured, busy)

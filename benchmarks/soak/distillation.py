"""Distillation: an agent that first learns from a peer's embeddings, against one that trains alone.

Both join the same two peers with the same camera pose on the same machine: the one that trains alone has left
before the other joins.
"""

from collections.abc import Mapping

from agents.training.settings import DistillationConfig, TrainingConfig
from alignment.status import Status
from benchmarks.harness import BenchmarkError, Effort, Metric, log, seconds
from benchmarks.scale.whole_run import mean
from benchmarks.soak.common import CURRENT, simulation_up, wait_until
from social_jepa.records import EdgeRecord
from social_jepa.report.distillation_savings import distillation_savings
from social_jepa.runtime.simulation import Simulation

TEACHER = "agent-0"


def settings(effort: Effort) -> tuple[str, ...]:
    """Return the default settings for two agents, with shorter training for less effort."""
    overrides, training, distillation = ["agents.count=2"], TrainingConfig(), DistillationConfig()
    if effort.size < 1:
        overrides += [
            f"training.steps={effort.of(training.steps)}",
            f"training.replay_ticks={max(512, effort.of(training.replay_ticks))}",
            f"distillation.ticks={max(256, effort.of(distillation.ticks))}",
            f"distillation.steps={effort.of(distillation.steps)}",
        ]  # fmt: skip
    return (*overrides, *effort.settings)


def join_and_leave(simulation: Simulation, pose: str, teacher: str) -> dict[str, float]:
    """Let an agent join, return its cost and quality, and let it leave."""
    names: list[str] = []

    def join() -> None:
        agent = simulation.add_agent(pose, teacher=teacher, wait=True)
        names.append(agent.name)

    duration = seconds(join)
    name, pairs = names[0], 2 * (len(simulation.status()) - 1)
    wait_until(f"the edges of {name}", lambda: len(edges_of(simulation, name)) == pairs)
    scored = [edge.r2_shared for edge in edges_of(simulation, name) if edge.r2_shared is not None]
    if not scored:
        raise BenchmarkError(f"no edge of {name} was scored")
    agent = simulation.results().agent(name)
    savings = distillation_savings(simulation.results(), name)
    log(f"  {name}{f' with teacher {teacher}' if teacher else ' alone'} joined in {duration:.1f} s")
    simulation.remove_agent(name)
    return {
        "seconds": duration, "probe": agent.probe_r2 or 0.0, "core": mean(scored),
        "read": savings.read if teacher else savings.read_alone,
        "recorded": savings.recorded if teacher else savings.recorded_alone,
    }  # fmt: skip


def edges_of(simulation: Simulation, name: str) -> list[EdgeRecord]:
    """Return the edges into and out of an agent, including stale ones."""
    return [
        edge for edge in simulation.results().document.edges
        if name in (edge.source, edge.target) and edge.status in (*CURRENT, Status.STALE)
    ]  # fmt: skip


def rows(distilled: Mapping[str, float], alone: Mapping[str, float]) -> list[Metric]:
    """Return the metrics of the distilled agent beside the one that trained alone."""
    names: Mapping[str, tuple[str, str]] = {
        "seconds": ("from the request to the last edge", "s"),
        "read": ("frames that the model trained on", ""),
        "recorded": ("frames that the camera recorded for training", ""),
        "core": ("held-out core R2 of the edges, mean", ""),
        "probe": ("probe R2", ""),
    }
    return [
        Metric(f"distilled from a peer: {what}", distilled[key], unit, "alone", alone[key])
        for key, (what, unit) in names.items()
    ]


def metrics(effort: Effort) -> list[Metric]:
    """Let one agent join alone and then one with a teacher, beside the same two peers."""
    with simulation_up(settings(effort)) as simulation:
        pose = str(simulation.folder.config().pose(2))
        log("  the first two agents train alone")
        simulation.wait(timeout=600.0)
        alone = join_and_leave(simulation, pose, "")
        return rows(join_and_leave(simulation, pose, TEACHER), alone)

"""Taught: an agent that learns from a peer's embeddings first, against one that learns the same view alone.

Both come to the same two peers, look from the same place, and find the same machine: the one that learned
alone has left when the other comes.
"""

from collections.abc import Mapping

from alignment.status import Status
from benchmarks.harness import BenchmarkError, Effort, Metric, say, seconds
from benchmarks.scale.whole_run import mean
from benchmarks.soak.all_parts import CURRENT, living, until
from social_jepa.graph.records import EdgeRecord
from social_jepa.report.distillation_savings import saving
from social_jepa.runtime.membership import write_pose
from social_jepa.runtime.simulation import Simulation

TEACHER = "agent-0"


def settings(effort: Effort) -> tuple[str, ...]:
    """Return the default settings for two agents, with a shorter course where less effort is asked for."""
    own = ["agents.count=2"]
    if effort.size < 1:
        own += [
            f"training.steps={effort.of(450)}", f"training.replay_ticks={max(512, effort.of(24576))}",
            f"distillation.ticks={max(256, effort.of(6144))}", f"distillation.steps={effort.of(150)}",
        ]  # fmt: skip
    return (*own, *effort.settings)


def come(simulation: Simulation, pose: str, teacher: str) -> dict[str, float]:
    """Let an agent join and return what it took and how good it is; then it leaves."""
    names: list[str] = []

    def join() -> None:
        agent = simulation.add_agent(pose, teacher=teacher, wait=True)
        names.append(agent["name"])

    took = seconds(join)
    name, pairs = names[0], 2 * (len(simulation.status()) - 1)
    until(f"the edges of {name}", lambda: len(edges_of(simulation, name)) == pairs)
    scored = [edge.r2_core for edge in edges_of(simulation, name) if edge.r2_core is not None]
    if not scored:
        raise BenchmarkError(f"no edge of {name} was scored")
    agent = simulation.results().agent(name)
    saved = saving(simulation.results(), name)
    say(f"  {name}{f', taught by {teacher},' if teacher else ', alone,'} joined in {took:.1f} s")
    simulation.remove_agent(name)
    return {
        "seconds": took, "probe": agent.probe_r2, "core": mean(scored),
        "read": saved["read"] if teacher else saved["read_alone"],
        "recorded": saved["recorded"] if teacher else saved["recorded_alone"],
    }  # fmt: skip


def edges_of(simulation: Simulation, name: str) -> list[EdgeRecord]:
    """Return the edges into and out of an agent, those that are being negotiated anew as well."""
    return [
        edge for edge in simulation.results().document.edges
        if name in (edge.source, edge.target) and edge.status in (*CURRENT, Status.STALE)
    ]  # fmt: skip


def rows(taught: Mapping[str, float], alone: Mapping[str, float]) -> list[Metric]:
    """Return the figures of the taught one beside the one that learned alone."""
    names: Mapping[str, tuple[str, str]] = {
        "seconds": ("from the request to its last edge", "s"),
        "read": ("frames that its model read", ""),
        "recorded": ("frames that it recorded to learn from", ""),
        "core": ("held-out core R2 of its edges, mean", ""),
        "probe": ("probe R2", ""),
    }
    return [
        Metric(f"taught by a peer: {what}", taught[key], unit, "alone", alone[key])
        for key, (what, unit) in names.items()
    ]


def figures(effort: Effort) -> list[Metric]:
    """Let one join alone and one taught, one after the other, beside the same two."""
    with living(settings(effort)) as simulation:
        pose = write_pose(simulation.folder.config().pose(2))
        say("  the first two learn alone")
        simulation.wait(timeout=600.0)
        alone = come(simulation, pose, "")
        return rows(come(simulation, pose, TEACHER), alone)

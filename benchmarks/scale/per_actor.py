"""Agents that share processes: time until the whole graph and memory of 16 agents, 1, 4 or 8 in a process."""

from benchmarks.harness import Effort, Metric, at_most, log
from benchmarks.processes import run_project
from benchmarks.scale.turns import SMALL
from benchmarks.scale.whole_run import GIB, MemoryWatch, mean

COUNT = 16
PER_ACTOR = (1, 4, 8)
MEMORY_THRESHOLD = at_most(0.4, of_ratio=True)  # of the most in a process, to a process for each


def metrics(effort: Effort) -> list[Metric]:
    """Run the project with the same agents in fewer and fewer processes."""
    found: list[Metric] = []
    alone: dict[str, float] = {}
    for per_actor in PER_ACTOR:
        log(f"  {COUNT} agents, {per_actor} in a process")
        memory = MemoryWatch()
        settings = (*SMALL, f"agents.count={COUNT}", f"agents.per_actor={per_actor}", *effort.settings)
        run = run_project(settings, (), memory)
        values = {
            "seconds until the whole graph": run.seconds,
            "peak memory, GiB": memory.peak / GIB,
            "held-out R2 of the edges, mean": mean(
                edge["r2_shared"] or 0.0 for edge in run.document["edges"]
            ),
        }
        alone = alone or values
        bounds = {"peak memory, GiB": MEMORY_THRESHOLD} if per_actor == PER_ACTOR[-1] else {}
        found += [
            Metric(f"{per_actor} in a process: {name}", value, "", "1", alone[name], bounds.get(name))
            for name, value in values.items()
        ]
    return found

"""Agents that take turns: time, memory and messages of runs with 10, 100 and 1,000 agents on 2 processes."""

from benchmarks.harness import Effort, Metric, Threshold, at_least, at_most, log
from benchmarks.processes import run_project
from benchmarks.scale.whole_run import GIB, MemoryWatch, mean

COUNTS = (10, 100, 1000)
WORKERS = 2
MEMORY_THRESHOLD = at_most(8.0)  # GiB, of a thousand agents
MESSAGES_THRESHOLD = at_most(1.1, of_ratio=True)  # of the largest run, to the one before it
MIN_R2 = 0.8  # of agents that see one object for a second
SMALL = (
    "agents.threads=1", "negotiation.topology=k_regular(6)",
    "scene.renderer=toy", "scene.frame_size=32", "scene.objects=1", "scene.bodies=false",
    "model.dim=4", "model.width=8", "model.hidden=32",
    "training.steps=20", "training.segments=32", "training.replay_ticks=512", "training.core_eval_ticks=256",
    "negotiation.pool_ticks=64", "negotiation.anchors=32", "negotiation.heldout=32",
)  # fmt: skip
SETTINGS = (f"agents.workers={WORKERS}", *SMALL)


def metrics(effort: Effort) -> list[Metric]:
    """Run the project with each number of agents."""
    found: list[Metric] = []
    before: dict[str, float] = {}
    counts = sorted({max(8, effort.of(count)) for count in COUNTS})
    for count in counts:
        log(f"  {count} agents take turns")
        memory = MemoryWatch()
        run = run_project((*SETTINGS, f"agents.count={count}", *effort.settings), (), memory)
        edges = run.document["edges"]
        values = {
            "seconds for each agent": run.seconds / count,
            "peak memory, GiB": memory.peak / GIB,
            "edges of each agent": len(edges) / count,
            "bytes of messages of each agent": sum(edge["bytes"] for edge in edges) / count,
        }
        found += [
            Metric(f"{count} agents: {name}", value, "", "of the run before", before.get(name, value), bound)
            for (name, value), bound in zip(values.items(), _thresholds(count == counts[-1]), strict=True)
        ]
        r2 = mean(edge["r2_shared"] or 0.0 for edge in edges)
        found.append(
            Metric(
                f"{count} agents: held-out R2 of the edges, mean", r2, "", "the mean", 0.0, at_least(MIN_R2)
            )
        )
        before = values
    return found


def _thresholds(largest: bool) -> tuple[Threshold | None, ...]:
    return (None, MEMORY_THRESHOLD, None, MESSAGES_THRESHOLD) if largest else (None, None, None, None)

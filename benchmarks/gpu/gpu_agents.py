"""Many agents on one GPU: time, memory and frames of runs with 16 and 64 agents that share it."""

from benchmarks.gpu.common import MemoryOfDevice, wanted_device
from benchmarks.harness import Effort, Metric, at_least, log
from benchmarks.processes import run_project
from benchmarks.scale.whole_run import GIB, mean

COUNTS = (16, 64)
# Rendering on CPUs is not what is measured; k_regular(6): the edges of each agent, not of all pairs, grow.
SETTINGS = (
    "agents.threads=1", "scene.renderer=toy", "scene.objects=1", "scene.bodies=false", "model.dim=4",
    "training.steps=100", "training.replay_ticks=2048", "training.core_eval_ticks=512",
    "negotiation.topology=k_regular(6)", "negotiation.pool_ticks=128", "negotiation.anchors=64",
    "negotiation.heldout=64",
)  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Run the project with each number of agents."""
    device = wanted_device(effort.settings)
    found: list[Metric] = []
    for count in sorted({max(2, effort.of(count)) for count in COUNTS}):
        log(f"  {count} agents")
        memory = MemoryOfDevice(device)
        before = memory.peak
        run = run_project((*SETTINGS, f"agents.count={count}", *effort.settings), (), memory)
        agents = run.document["agents"]
        on_device = sum(agent["device"].startswith(device.type) for agent in agents)
        frames = sum(agent["frames_per_s"] for agent in agents)
        accepted = mean(edge["status"] == "accepted" for edge in run.document["edges"])
        label = f"{count} agents"
        found += [
            Metric(f"{label}: on {device.type}", on_device, "", "agents", count, at_least(1, True)),
            Metric(f"{label}: from start to exit", run.seconds, "s", "of each", run.seconds / count),
            Metric(f"{label}: frames of all", frames, "frames/s", "of each", frames / count),
            Metric(f"{label}: memory of the device", memory.peak / GIB, "GiB", "before", before / GIB),
            Metric(f"{label}: accepted edges, share", accepted, "", "all", 1.0),
        ]
    return found

"""A whole run with the default settings on one GPU that its agents share."""

from benchmarks.gpu.common import MemoryOfDevice, device_name, wanted_device
from benchmarks.harness import Effort, Metric, at_least
from benchmarks.processes import run_project
from benchmarks.scale.whole_run import GIB, mean

MIN_R2 = 0.88  # as of the default run on CPUs


def metrics(effort: Effort) -> list[Metric]:
    """Run the project once."""
    device = wanted_device(effort.settings)
    memory = MemoryOfDevice(device)
    run = run_project(effort.settings, (), memory)
    agents, phases = run.document["agents"], run.document["seconds"]
    on_device = sum(agent["device"].startswith(device.type) for agent in agents)
    frames = sum(agent["frames_per_s"] for agent in agents)
    r2 = mean(edge["r2_shared"] or 0.0 for edge in run.document["edges"])
    label, every = "default run", at_least(1, of_ratio=True)
    return [
        Metric(f"{label}: on {device_name(device)}", on_device, "agents", "of", len(agents), every),
        Metric(f"{label}: from start to exit", run.seconds, "s", "without its report", phases["total"]),
        Metric(f"{label}: recording, slowest agent", phases["record"], "s", "whole run", run.seconds),
        Metric(f"{label}: training, slowest agent", phases["train"], "s", "whole run", run.seconds),
        Metric(f"{label}: frames of all agents", frames, "frames/s", "of each", frames / len(agents)),
        Metric(f"{label}: memory of the device", memory.peak / GIB, "GiB", "", 0.0),
        Metric(f"{label}: held-out R2, mean", r2, "", "the mean", 0.0, at_least(MIN_R2)),
    ]

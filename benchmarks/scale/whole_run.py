"""Whole runs: seconds, memory and how well agents understand each other, as a person would get them."""

import re
import statistics
from typing import Any

from benchmarks.harness import BenchmarkError, Effort, Goal, Metric, at_most, say
from benchmarks.processes import ProjectRun, run_project
from social_jepa.config.run_config import QUICK, RunConfig, load_config

GIB = 2.0**30
MEMORY = at_most(4.0)
PRESETS: dict[str, tuple[tuple[str, ...], Goal]] = {
    "run": ((), at_most(180.0)),
    "run --quick": (("--quick",), at_most(90.0)),
}
SESSION = re.compile(r"session_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d+_\d+")


class MemoryWatch:
    """The most memory that a run held at once, over all its processes.

    Memory that processes share is split among them (PSS), so that the sum counts it once. Ray's own
    processes belong to the run if they descend from it or name its session directory; those of other sessions
    on the machine do not.
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        try:
            import psutil
        except ModuleNotFoundError as error:
            raise BenchmarkError(
                "memory is read with psutil: pip install psutil, or install the test extra"
            ) from error
        self._psutil = psutil
        self._sessions: set[str] = set()
        self.peak = 0  # bytes

    def __call__(self, pid: int) -> None:
        """Look once at the run whose first process this is."""
        held = 0
        for process in self._family(pid):
            try:
                held += process.memory_full_info().pss
            except self._psutil.Error:
                continue  # it ended meanwhile
        self.peak = max(self.peak, held)

    def _family(self, pid: int) -> list[Any]:
        try:
            first = self._psutil.Process(pid)
            found = {process.pid: process for process in [first, *first.children(recursive=True)]}
        except self._psutil.NoSuchProcess:
            return []
        self._sessions |= {
            name for process in found.values() for name in SESSION.findall(self._line(process))
        }
        for process in self._psutil.process_iter():
            if process.pid not in found and self._sessions.intersection(SESSION.findall(self._line(process))):
                found[process.pid] = process
        return list(found.values())

    def _line(self, process: Any) -> str:
        try:
            return " ".join(process.cmdline())
        except self._psutil.Error:
            return ""


def understanding(document: dict[str, Any], name: str) -> list[Metric]:
    """Return how well agents understand each other, beside what unrelated ones would."""
    edges = [edge for edge in document["edges"] if edge["r2_core"] is not None]
    if not edges:
        raise BenchmarkError(f"{name}: no edge was scored: {document['edges'][0]['reason']}")
    null, chance = mean(edge["null_r2"] for edge in edges), "shuffled pairs"
    rows = {"all pairs": [edge["r2_core"] for edge in edges]}
    for pairs in (64, 8):
        rows[f"{pairs} pairs"] = [
            row["r2"] for edge in edges for row in edge["budget"]
            if row["pairs"] == pairs and row["method"] == "procrustes"
        ]  # fmt: skip
    found = [
        Metric(f"{name}: held-out core R2, {label}, {word}", pick(values), "", chance, null)
        for label, values in rows.items() if values
        for word, pick in (("mean", mean), ("worst edge", min))
    ]  # fmt: skip
    for word, pick in (("largest", max), ("smallest", min)):
        ours, theirs = (
            pick(value for edge in edges for value in edge[key])
            for key in ("singular_values", "null_singular_values")
        )
        found.append(Metric(f"{name}: {word} singular value", ours, "", chance, theirs))
    return found


def mean(values: Any) -> float:
    """Return the mean of some numbers."""
    return statistics.fmean(values)


def cost(run: ProjectRun, peak: int, name: str, config: RunConfig, goal: Goal) -> list[Metric]:
    """Return what a run cost in time and memory."""
    took = run.document["seconds"]
    remembered = config.agents.count * config.training.replay_ticks * 3 * config.scene.frame_size**2
    return [
        Metric(
            f"{name}: from start to exit", run.seconds, "s", "recording and training, slowest agent",
            took["record"] + took["train"], goal,
        ),
        Metric(
            f"{name}: memory in all, peak", peak / GIB, "GiB", "the pictures that agents remember",
            remembered / GIB, MEMORY,
        ),
    ]  # fmt: skip


def figures(effort: Effort) -> list[Metric]:
    """Run the project once with each preset."""
    found = []
    for name, (flags, goal) in PRESETS.items():
        say(f"  social-jepa {name}")
        config = load_config(None, effort.settings, QUICK if flags else None)
        memory = MemoryWatch()
        run = run_project(effort.settings, flags, memory)
        found += cost(run, memory.peak, name, config, goal) + understanding(run.document, name)
    return found

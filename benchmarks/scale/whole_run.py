"""Whole runs from the command line: seconds, memory and quality of the maps."""

import re
import statistics
from typing import Any

from benchmarks.harness import BenchmarkError, Effort, Metric, Threshold, at_most, log
from benchmarks.processes import ProjectRun, run_project
from social_jepa.config.run_config import QUICK, RunConfig, load_config
from social_jepa.runtime.memory import replay_bytes

GIB = 2.0**30
MEMORY_THRESHOLD = at_most(4.0)  # GiB
PRESETS: dict[str, tuple[tuple[str, ...], Threshold]] = {
    "run": ((), at_most(180.0)),
    "run --quick": (("--quick",), at_most(90.0)),
}
SESSION = re.compile(r"session_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d+_\d+")


class MemoryWatch:
    """Peak memory of a run over all its processes.

    Shared pages are divided among their users (PSS), so that the sum counts them once. Ray's own
    processes belong to the run if they descend from it or name its session directory; those of other Ray
    sessions on the machine do not.
    """

    def __init__(self) -> None:
        """Start with a peak of 0."""
        try:
            import psutil
        except ModuleNotFoundError as error:
            raise BenchmarkError(
                "memory is measured with psutil: pip install psutil, or install the test extra"
            ) from error
        self._psutil = psutil
        self._sessions: set[str] = set()
        self.peak = 0  # bytes

    def __call__(self, pid: int) -> None:
        """Sample the memory of the run with this root process."""
        total = 0
        for process in self._processes(pid):
            try:
                total += process.memory_full_info().pss
            except self._psutil.Error:
                continue  # it has exited
        self.peak = max(self.peak, total)

    def _processes(self, pid: int) -> list[Any]:
        try:
            first = self._psutil.Process(pid)
            found = {process.pid: process for process in [first, *first.children(recursive=True)]}
        except self._psutil.NoSuchProcess:
            return []
        self._sessions |= {
            name for process in found.values() for name in SESSION.findall(self._command_line(process))
        }
        for process in self._psutil.process_iter():
            if process.pid not in found and self._sessions.intersection(
                SESSION.findall(self._command_line(process))
            ):
                found[process.pid] = process
        return list(found.values())

    def _command_line(self, process: Any) -> str:
        try:
            return " ".join(process.cmdline())
        except self._psutil.Error:
            return ""


def quality(document: dict[str, Any], name: str) -> list[Metric]:
    """Return the quality of the maps beside the mean as prediction, and correlations beside chance."""
    edges = [edge for edge in document["edges"] if edge["r2_shared"] is not None]
    if not edges:
        raise BenchmarkError(f"{name}: no edge was scored: {document['edges'][0]['reason']}")
    null = mean(edge["null_correlation"] for edge in edges)
    rows = {"all pairs": [edge["r2_shared"] for edge in edges]}
    for pairs in (64, 8):
        rows[f"{pairs} pairs"] = [
            row["r2"] for edge in edges for row in edge["budget"]
            if row["pairs"] == pairs and row["method"] == "procrustes"
        ]  # fmt: skip
    found = [
        Metric(f"{name}: held-out R2, {label}, {word}", pick(values), "", "the mean", 0.0)
        for label, values in rows.items() if values
        for word, pick in (("mean", mean), ("worst edge", min))
    ]  # fmt: skip
    correlations = [value for edge in edges for value in edge["correlations"][: edge["shared_dim"]]]
    for word, pick in (("largest", max), ("smallest", min)):
        found.append(
            Metric(f"{name}: {word} correlation", pick(correlations, default=0.0), "", "time shifts", null)
        )
    return found


def mean(values: Any) -> float:
    """Return the mean of some numbers."""
    return statistics.fmean(values)


def cost(run: ProjectRun, peak: int, name: str, config: RunConfig, threshold: Threshold) -> list[Metric]:
    """Return the time and memory of a run."""
    phases = run.document["seconds"]
    return [
        Metric(
            f"{name}: from start to exit", run.seconds, "s", "recording and training, slowest agent",
            phases["record"] + phases["train"], threshold,
        ),
        Metric(
            f"{name}: peak memory", peak / GIB, "GiB", "replay buffers of all agents",
            config.agents.count * replay_bytes(config) / GIB, MEMORY_THRESHOLD,
        ),
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Run the project once with each preset."""
    found = []
    for name, (flags, threshold) in PRESETS.items():
        log(f"  social-jepa {name}")
        config = load_config(None, effort.settings, QUICK if flags else None)
        memory = MemoryWatch()
        run = run_project(effort.settings, flags, memory)
        found += cost(run, memory.peak, name, config, threshold) + quality(run.document, name)
    return found

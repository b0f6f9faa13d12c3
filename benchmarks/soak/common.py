"""Shared helpers of the soak benchmarks: a live simulation, its processes, and its ledger."""

import contextlib
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from alignment.status import Status
from benchmarks.harness import BenchmarkError
from social_jepa.records import AgentStatus, EdgeRecord
from social_jepa.runtime.local_ray import processes_of
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.ledger import Ledger

# Small enough that many agents share two CPUs. Agents publish only once (max_drift 1), so that all counted
# messages and edges come from joins, leaves and kills, none from drift.
TOY = (
    "scene.renderer=toy",
    "scene.frame_size=32",
    "scene.objects=1",
    "agents.count=2",
    "agents.threads=1",
    "model.dim=4",
    "model.width=8",
    "model.hidden=32",
    "training.steps=60",
    "training.segments=32",
    "training.replay_ticks=512",
    "training.core_eval_ticks=256",
    "negotiation.pool_ticks=64",
    "negotiation.anchors=32",
    "negotiation.heldout=32",
    "negotiation.max_drift=1.0",
)
TIMEOUT = 300.0  # seconds to wait for any condition
POLL_INTERVAL = 0.05  # seconds
CURRENT = (Status.ACCEPTED, Status.REFUSED)  # states of an edge that holds
MIB = 2.0**20


@contextlib.contextmanager
def simulation_up(settings: Iterable[str], address: str | None = None) -> Iterator[Simulation]:
    """Run a simulation in a temporary folder; it is shut down on exit."""
    with tempfile.TemporaryDirectory(prefix="social-jepa-soak-", ignore_cleanup_errors=True) as folder:
        _raise_on_sigterm()
        with Simulation.up(*settings, folder=Path(folder) / "run", address=address) as simulation:
            yield simulation


def _raise_on_sigterm() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextlib.contextmanager
def open_ledger(simulation: Simulation) -> Iterator[Ledger]:
    """Open a simulation's ledger for reading."""
    with contextlib.closing(Ledger(simulation.folder.ledger_file)) as ledger:
        yield ledger


def wait_until(
    what: str, ready: Callable[[], Any], timeout: float = TIMEOUT, every: float = POLL_INTERVAL
) -> Any:
    """Poll until ``ready`` returns a true value, and return it.

    Raises:
        BenchmarkError: The timeout passed.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = ready()
        if found:
            return found
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what}: not within {timeout:g} s")
        time.sleep(every)


def agents_by_name(simulation: Simulation) -> dict[str, AgentStatus]:
    """Return the status of every agent by name.

    Raises:
        BenchmarkError: An agent has failed.
    """
    agents = {agent.name: agent for agent in simulation.status()}
    for name, agent in agents.items():
        if agent.failure:
            raise BenchmarkError(f"{name} failed: {agent.failure.summary}")
    return agents


def has_recovered(agent: AgentStatus, incarnation: int, step: int = 0) -> bool:
    """Return whether an agent reports from a later incarnation, at a step or later."""
    if agent.progress is None or agent.phase in ("returning", "waiting", "starting"):
        return False
    return agent.incarnation > incarnation and agent.progress.step >= step


def missing_pairs(edges: Iterable[EdgeRecord], names: Sequence[str]) -> set[tuple[str, str]]:
    """Return the ordered pairs of agents without a current edge."""
    held = {(edge.source, edge.target) for edge in edges if edge.status in CURRENT}
    return {(one, other) for one in names for other in names if one != other} - held


def latest_edges(ledger: Ledger) -> list[EdgeRecord]:
    """Return the latest edge of every ordered pair that ever had one, including leavers."""
    return [edge for edge, _ in ledger.edges()]


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process over all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mib(pid: int) -> float:
    """Return the memory of a process, with shared pages divided among their users (PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / MIB


def steady_mib(pids: Mapping[str, int], samples: int = 7, every: float = 0.5) -> dict[str, float]:
    """Return the memory of each process, the median of some samples, keyed by name."""
    values: dict[str, list[float]] = {name: [] for name in pids}
    for _ in range(samples):
        for name, pid in pids.items():
            values[name].append(pss_mib(pid))
        time.sleep(every)
    return {name: statistics.median(each) for name, each in values.items()}


def supervisor_pid(simulation: Simulation) -> int:
    """Return the process id of the supervisor of a simulation that started its own Ray."""
    found = simulation.folder.simulation()
    if found is not None and found.leader is not None:
        for process in processes_of(found.leader, found.session):
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[0].startswith("ray::Supervisor"):
                    return int(process.pid)
    raise BenchmarkError("the supervisor's process was not found")

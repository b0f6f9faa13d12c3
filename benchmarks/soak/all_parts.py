"""What the figures of a living simulation share: one that is up, its processes, and its ledger."""

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

from alignment.status import Status
from benchmarks.harness import BenchmarkError
from social_jepa.config.run_config import load_config
from social_jepa.graph.records import EdgeRecord
from social_jepa.runtime.local_ray import processes_of
from social_jepa.runtime.simulation import Simulation, clean_up
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create

# Small enough that many agents share two cores. Who has published never does so anew, so that what is counted
# belongs to who came, left or died, and to nobody's drift.
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
PATIENCE = 300.0  # seconds before a figure is given up
LOOK_EVERY = 0.05  # seconds between two looks
CURRENT = (Status.ACCEPTED, Status.REFUSED)  # states of an edge that holds
MIB = 2.0**20


@contextlib.contextmanager
def living(settings: Iterable[str], address: str | None = None) -> Iterator[Simulation]:
    """Keep a simulation up in a folder that is thrown away; it goes down whatever happens."""
    with tempfile.TemporaryDirectory(prefix="social-jepa-soak-", ignore_cleanup_errors=True) as folder:
        config = load_config(None, list(settings))
        run = create(config, Path(folder) / "run")
        _end_as_by_ctrl_c()
        simulation = Simulation.up(config, run, address)
        _end_as_by_ctrl_c()  # Ray has put its own handler in place, which would leave the simulation up
        try:
            yield simulation
        finally:
            try:
                simulation.down()
            except Exception:
                clean_up(run)
                raise


def _end_as_by_ctrl_c() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextlib.contextmanager
def reading(simulation: Simulation) -> Iterator[Ledger]:
    """Open a simulation's ledger to read what it holds from moment to moment."""
    with contextlib.closing(Ledger(simulation.folder.ledger_file)) as ledger:
        yield ledger


def until(what: str, ready: Callable[[], Any], patience: float = PATIENCE, every: float = LOOK_EVERY) -> Any:
    """Look again and again until something is so, and return what was found.

    Raises:
        BenchmarkError: Patience ended.
    """
    last = time.monotonic() + patience
    while True:
        found = ready()
        if found:
            return found
        if time.monotonic() > last:
            raise BenchmarkError(f"{what}: not within {patience:g} s")
        time.sleep(every)


def by_name(simulation: Simulation) -> dict[str, dict[str, Any]]:
    """Return how every agent is doing, by name.

    Raises:
        BenchmarkError: One has failed.
    """
    agents = {agent["name"]: agent for agent in simulation.status()}
    for name, agent in agents.items():
        if agent["failure"]:
            raise BenchmarkError(f"{name} failed: {agent['failure']}")
    return agents


def is_back(agent: Mapping[str, Any], life: int, step: int = 0) -> bool:
    """Whether an agent reports from a life after this one, at a step or later."""
    told = agent["progress"] is not None and agent["phase"] not in ("returning", "waiting", "starting")
    return bool(told and agent["incarnation"] > life and agent["progress"]["step"] >= step)


def absent_pairs(edges: Iterable[EdgeRecord], names: Sequence[str]) -> set[tuple[str, str]]:
    """Return the ordered pairs of these agents that no edge holds between."""
    held = {(edge.source, edge.target) for edge in edges if edge.status in CURRENT}
    return {(one, other) for one in names for other in names if one != other} - held


def newest(ledger: Ledger) -> list[EdgeRecord]:
    """Return the newest edge of every ordered pair that ever had one, leavers' as well."""
    return [edge for edge, _ in ledger.edges()]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken, all its threads counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def held_mib(pid: int) -> float:
    """Return the memory that a process holds, what it shares split among those that share it (PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / MIB


def steady_mib(pids: Mapping[str, int], looks: int = 7, every: float = 0.5) -> dict[str, float]:
    """Return the memory of several processes by name, each the median of some looks."""
    seen: dict[str, list[float]] = {name: [] for name in pids}
    for _ in range(looks):
        for name, pid in pids.items():
            seen[name].append(held_mib(pid))
        time.sleep(every)
    return {name: statistics.median(values) for name, values in seen.items()}


def keeper_pid(simulation: Simulation) -> int:
    """Return the process of the actor that keeps a simulation whose Ray is its own."""
    address = simulation.folder.simulation_address()
    for pid in processes_of(address.session if address else 0):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::Supervisor"):
                return pid
    raise BenchmarkError("the keeper's process was not found")

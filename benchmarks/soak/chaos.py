"""Chaos: a simulation goes up and down while its processes are killed, ended and stopped at random moments.

Every process that the commands start inherits a variable of their environment, so that what they leave
behind is found; bystanders that look like them must not be touched. In the end, edges equal those of an
undisturbed run.
"""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.harness import Effort, Metric, at_most, log
from benchmarks.soak.common import TOY, wait_until
from social_jepa.runtime.errors import ClusterError
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.run_folder import RunFolder, RunFolderError

SEED = 0
CYCLES = 20
MAX_SECONDS = 540.0  # after which no further cycle begins
COMMAND_TIMEOUT = 240.0  # seconds after which a command counts as hung
MARKER = "SOCIAL_JEPA_CHAOS"  # variable in the environment of every process of ours
PHASES = ("starting", "training", "settled", "stopping")
START_SECONDS, STOP_SECONDS = 8.0, 2.0  # about what up and down take: moments of a signal during them
# Beginnings of the command lines of each target; the command is that of the cycle.
TARGETS = {
    "agent": "ray::AgentActor",
    "supervisor": "ray::Supervisor",
    "raylet": "social-jepa-node",
    "head": "gcs_server",
    "leader": "social_jepa.runtime.session_leader",
    "command": "",
}
SIGNALS = {"SIGKILL": 0.0, "SIGTERM": 0.0, "SIGSTOP 3 s": 3.0, "SIGSTOP 30 s": 30.0}
STEPS = ("training.steps=600", "training.checkpoint_every=20")


@dataclass
class Chaos:
    """One simulation under chaos.

    Attributes:
        folder: Its run folder.
        hung: Commands that did not end in time.
        failed_polls: Requests that the page did not answer.
        done: One line for each cycle.
    """

    folder: RunFolder
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)
    hung: int = 0
    failed_polls: int = 0
    done: list[str] = field(default_factory=list)

    def command(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command whose descendants carry the marker."""
        return subprocess.Popen(
            [sys.executable, "-m", "social_jepa", "--quiet", *words],
            env={**os.environ, MARKER: self.marker}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def cycle(self, target: str, signal_name: str, phase: str) -> None:
        """Bring the simulation up, disturb it in a phase, and take it down."""
        up = self.command("resume", "--run", str(self.folder.path))
        if phase == "starting":
            time.sleep(self.rng.uniform(0, START_SECONDS))
            self._disturb(target, signal_name, up)
        self._finish(up)
        if phase in ("training", "settled"):
            if phase == "settled":
                self._settle(30.0)
            time.sleep(self.rng.uniform(0, 2))
            self._disturb(target, signal_name, up)
        self._down(target, signal_name, phase == "stopping")
        self.done.append(f"{signal_name} to {target} while {phase}")
        log(f"  {self.done[-1]}")

    def _disturb(self, target: str, signal_name: str, command: "subprocess.Popen[bytes]") -> None:
        seconds = SIGNALS[signal_name]
        for pid in self._pids(target, command)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, signal_name.split()[0]))
                if seconds:
                    threading.Timer(seconds, _go_on, [pid]).start()

    def _pids(self, target: str, command: "subprocess.Popen[bytes]") -> list[int]:
        if target == "command":
            return [command.pid] if command.poll() is None else []
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if TARGETS[target] in " ".join(process.cmdline()[:3]):
                    found.append(process.pid)
        return found

    def processes(self) -> list[psutil.Process]:
        """Return all processes that descend from the commands, zombies excluded."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                mine = process.environ().get(MARKER) == self.marker
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def _finish(self, command: "subprocess.Popen[bytes]") -> None:
        try:
            command.wait(COMMAND_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.hung += 1
            log(f"  hung: {command.args!r}")
            command.kill()
            command.wait()

    def _settle(self, seconds: float) -> None:
        with contextlib.suppress(ClusterError, RunFolderError, RuntimeError):
            Simulation.attach(self.folder).wait(timeout=seconds)

    def _down(self, target: str, signal_name: str, disturbed: bool) -> None:
        down = self.command("down", "--run", str(self.folder.path))
        if disturbed:
            time.sleep(self.rng.uniform(0, STOP_SECONDS))
            self._disturb(target, signal_name, down)
        self._finish(down)
        if self.folder.simulation_file.exists():  # the command itself was ended
            self._finish(self.command("down", "--run", str(self.folder.path)))

    @contextlib.contextmanager
    def page(self) -> Iterator[None]:
        """Serve the page of the run folder and poll it all the time."""
        port = _free_port()
        server = self.command("serve", "--run", str(self.folder.path), "--port", str(port))
        over = threading.Event()
        poll = threading.Thread(target=self._poll, args=(f"http://127.0.0.1:{port}/api/status", over))
        try:
            wait_until("the page", lambda: _answers(f"http://127.0.0.1:{port}/api/status"), every=0.2)
            poll.start()
            yield
            self.failed_polls += server.poll() is not None
        finally:
            over.set()
            if poll.ident is not None:
                poll.join()
            server.terminate()
            server.wait()

    def _poll(self, address: str, over: threading.Event) -> None:
        while not over.wait(0.5):
            if not _answers(address):
                self.failed_polls += 1


def _go_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=15.0) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def bystanders(folder: Path) -> Iterator[Callable[[], int]]:
    """Run processes that only look like ours; yield a function that counts those that were ended."""
    code = "import time; time.sleep(3600)"
    names = ("ray::AgentActor", f"social_jepa.runtime.session_leader {folder}", "raylet")
    started = [subprocess.Popen([sys.executable, "-c", code, name], start_new_session=True) for name in names]
    try:
        yield lambda: sum(each.poll() is not None for each in started)
    finally:
        for each in started:
            each.kill()
            each.wait()


def settled_edges(simulation: Simulation) -> dict[tuple[str, str], tuple[str, str, float | None]]:
    """Take a simulation down once its edges are settled; return checkpoints and R2 of each edge."""
    try:
        simulation.wait(timeout=300.0)
        edges = simulation.results().document.edges
        return {(e.source, e.target): (e.source_checkpoint, e.target_checkpoint, e.r2_shared) for e in edges}
    finally:
        simulation.down()


def is_whole(folder: RunFolder) -> bool:
    """Return whether SQLite finds nothing wrong with a ledger."""
    with contextlib.closing(sqlite3.connect(folder.ledger_file)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


def plan(count: int, rng: random.Random) -> list[tuple[str, str, str]]:
    """Return targets, signals and phases of the cycles, all of them in turns, in random order."""
    long = list(SIGNALS)
    targets, phases = list(TARGETS), list(PHASES)
    cycles = [
        (targets[k % len(targets)], long[(k // len(targets) + k) % len(long)], phases[k % len(phases)])
        for k in range(count)
    ]
    rng.shuffle(cycles)
    return cycles


def endure(folder: Path, settings: Sequence[str], cycles: Sequence[tuple[str, str, str]]) -> list[Metric]:
    """Run cycles of chaos below a folder, and return what they left behind."""
    settings = (*TOY, *STEPS, *settings)
    chaos = Chaos(RunFolder.at(folder / "chaos"))
    calm = Chaos(RunFolder.at(folder / "calm"))
    calm._finish(calm.command("up", "--out", str(calm.folder.path), *settings))
    expected = settled_edges(Simulation.attach(calm.folder))
    began = time.monotonic()
    with bystanders(folder) as count_ended:
        chaos._finish(chaos.command("up", "--out", str(chaos.folder.path), *settings))
        chaos._finish(chaos.command("down", "--run", str(chaos.folder.path)))
        with chaos.page():
            for cycle in cycles:
                if time.monotonic() - began < MAX_SECONDS:
                    chaos.cycle(*cycle)
        wait_until("the end of all processes", lambda: not chaos.processes(), timeout=60.0)
        found = settled_edges(Simulation.resume(chaos.folder))
        touched = count_ended()
    different = sum(found.get(pair) != edge for pair, edge in expected.items())
    return rows(chaos, len(cycles), touched, different, len(expected))


def rows(chaos: Chaos, planned: int, touched: int, different: int, pairs: int) -> list[Metric]:
    """Return the metrics of all cycles."""
    return [
        Metric("cycles of up and down under signals", len(chaos.done), "", "planned", planned),
        Metric("processes left behind", len(chaos.processes()), "", "planned", 0, at_most(0)),
        Metric("processes of others that ended", touched, "", "bystanders", 3, at_most(0)),
        Metric("commands that hung", chaos.hung, "", "cycles", len(chaos.done), at_most(0)),
        Metric("requests that the page did not answer", chaos.failed_polls, "", "planned", 0, at_most(0)),
        Metric("damaged ledgers", int(not is_whole(chaos.folder)), "", "ledgers", 1, at_most(0)),
        Metric("edges unlike those of a calm run", different, "", "ordered pairs", pairs, at_most(0)),
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Run all cycles in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="social-jepa-chaos-", ignore_cleanup_errors=True) as folder:
        cycles = plan(max(2, effort.of(CYCLES)), random.Random(SEED))
        return endure(Path(folder), effort.settings, cycles)

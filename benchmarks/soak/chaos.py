"""Chaos: simulations go up and down while their processes are killed, ended and stopped at random moments.

Two simulations share the machine, and each must survive what is done to the other. What the commands of one
start is found by a variable of their environment, or by the operating-system session of a process that has
it: Ray's workers write their titles over their environments. Bystanders that look like them must not be
touched. In the end, edges equal those of an undisturbed run.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.harness import Effort, Metric, at_least, at_most, log
from benchmarks.soak.common import TOY, wait_until
from social_jepa.runtime.errors import ClusterError
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import RunFolderError

SEED = 0
CYCLES = 20
SIMULATIONS = 2  # at once, each with its share of the cycles: one cycle is mostly waiting for Ray
MAX_SECONDS = 540.0  # after which no further cycle begins: all of it takes ten minutes at most
COMMAND_TIMEOUT = 240.0  # seconds after which a command counts as hung
MARKER = "SOCIAL_JEPA_CHAOS"  # variable in the environment of every process of ours
PHASES = ("starting", "training", "settled", "stopping")
START_SECONDS, STOP_SECONDS = 8.0, 2.0  # about what up and down take: moments of a signal during them
APPEAR_TIMEOUT = 60.0  # seconds until a target that is starting has its process
SETTLE_TIMEOUT = 30.0  # seconds before the signal of a phase "settled"
RECOVER_TIMEOUT = 120.0  # seconds in which a simulation settles after a signal that it should survive
MORTAL = ("raylet", "head", "leader")  # targets without which a simulation ends
# Beginnings of the command lines of each target; the command is that of the cycle, or one that watches it.
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

Edge = tuple[str, str, float | None]  # checkpoints of source and target, R2 of the shared directions


@dataclass
class Chaos:
    """One simulation under chaos.

    Attributes:
        folder: Its run folder.
        hung: Commands that did not end in time.
        failed_polls: Requests that the page did not answer.
        hits: Signals that reached a process of their target.
        ended_before: Signals during a stop whose target had ended by then.
        not_recovered: Signals after which agents did not settle, although none should be lost.
        done: One line for each cycle.
    """

    folder: RunFolder
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)
    hung: int = 0
    failed_polls: int = 0
    hits: int = 0
    ended_before: int = 0
    not_recovered: int = 0
    done: list[str] = field(default_factory=list)
    _sessions: set[int] = field(default_factory=set)  # of the operating system, with a process of ours

    def command(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command whose descendants carry the marker."""
        return subprocess.Popen(
            [sys.executable, "-m", "social_jepa", "--quiet", *words],
            env={**os.environ, MARKER: self.marker}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def endure(
        self, settings: Sequence[str], cycles: Sequence[tuple[str, str, str]], until: float
    ) -> dict[tuple[str, str], Edge]:
        """Run cycles, none of which begins after a monotonic time, and return the edges in the end."""
        self._finish(self.command("up", "--out", str(self.folder.path), *settings))
        self._finish(self.command("down", "--run", str(self.folder.path)))
        with self.page():
            for cycle in cycles:
                if time.monotonic() < until:
                    self.cycle(*cycle)
        wait_until("the end of all processes", lambda: not self.processes(), timeout=60.0)
        return settled_edges(Simulation.resume(self.folder))

    def cycle(self, target: str, signal_name: str, phase: str) -> None:
        """Bring the simulation up, disturb it in a phase, and take it down."""
        up = self.command("resume", "--run", str(self.folder.path))
        if phase == "starting":
            self._disturb_start(target, signal_name, up)
        self._finish(up)
        watching = []
        if phase in ("training", "settled"):
            if phase == "settled":
                self._settles(SETTLE_TIMEOUT)
            watching = [self.command("status", "--watch", "--run", str(self.folder.path))]
            time.sleep(self.rng.uniform(1, 3))
            self._disturb(self._appeared(target, watching[0]), signal_name)
            survives = target not in MORTAL or "STOP" in signal_name
            if phase == "training" and survives and not self._settles(RECOVER_TIMEOUT):
                self.not_recovered += 1
                log(f"  {self.folder.path.name}: does not settle after {signal_name} to {target}")
        self._down(target, signal_name, phase == "stopping")
        for command in watching:  # it ends with the simulation
            self._finish(command)
        self.done.append(f"{signal_name} to {target} while {phase}")
        log(f"  {self.folder.path.name}: {self.done[-1]}")

    def _disturb_start(self, target: str, signal_name: str, up: "subprocess.Popen[bytes]") -> None:
        """Send the signal at a random moment, but not before the target has a process."""
        time.sleep(self.rng.uniform(0, START_SECONDS / (2 if target == "command" else 1)))
        self._disturb(self._appeared(target, up), signal_name)

    def _appeared(self, target: str, command: "subprocess.Popen[bytes]") -> list[psutil.Process]:
        """Return the processes of a target once there is one: on a crowded machine agents start late."""
        deadline = time.monotonic() + APPEAR_TIMEOUT
        while not (found := self._processes_of(target, command)) and time.monotonic() < deadline:
            if target == "command":  # it has ended
                break
            time.sleep(0.1)
        return found

    def _disturb(
        self, targets: Sequence[psutil.Process], signal_name: str, may_have_ended: bool = False
    ) -> None:
        """Send a signal to one of some processes, and count whether it got there."""
        seconds = SIGNALS[signal_name]
        for process in self.rng.sample(targets, len(targets)):
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                process.send_signal(getattr(signal, signal_name.split()[0]))
                if seconds:
                    threading.Timer(seconds, _go_on, [process]).start()
                self.hits += 1
                return
        self.ended_before += bool(targets) and may_have_ended
        log(f"  {self.folder.path.name}: nothing got {signal_name}; processes of the target: {targets}")

    def _processes_of(self, target: str, command: "subprocess.Popen[bytes]") -> list[psutil.Process]:
        """Return the running processes of a target."""
        if target == "command":
            return [psutil.Process(command.pid)] if command.poll() is None else []
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if TARGETS[target] in " ".join(process.cmdline()[:3]):
                    found.append(process)
        return found

    def processes(self) -> list[psutil.Process]:
        """Return all processes that descend from the commands, zombies excluded."""
        every = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE:
                    session, environment = os.getsid(process.pid), process.environ()
                    every.append((process, session, environment.get(MARKER) == self.marker))
        self._sessions |= {session for _, session, marked in every if marked}
        return [process for process, session, marked in every if marked or session in self._sessions]

    def _finish(self, command: "subprocess.Popen[bytes]") -> None:
        try:
            command.wait(COMMAND_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.hung += 1
            log(f"  hung: {command.args!r}")
            command.kill()
            command.wait()

    def _settles(self, seconds: float) -> bool:
        with contextlib.suppress(ClusterError, RunFolderError, RuntimeError):
            Simulation.attach(self.folder).wait(timeout=seconds, progress=False)
            return True
        return False

    def _down(self, target: str, signal_name: str, disturbed: bool) -> None:
        down = self.command("down", "--run", str(self.folder.path))
        if disturbed:
            targets = self._processes_of(target, down)
            time.sleep(self.rng.uniform(0, STOP_SECONDS))
            self._disturb(targets, signal_name, may_have_ended=True)
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


def _go_on(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGCONT)


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


def settled_edges(simulation: Simulation) -> dict[tuple[str, str], Edge]:
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


def endure(
    folder: Path, settings: Sequence[str], cycles: Sequence[tuple[str, str, str]], simulations: int = 1
) -> list[Metric]:
    """Run cycles of chaos below a folder, and return what they left behind.

    Args:
        folder: Holds the run folders.
        settings: Of every simulation.
        cycles: Target, signal and phase of each.
        simulations: How many are up at once; each takes its share of the cycles.
    """
    settings = (*TOY, *STEPS, *settings)
    calm = Chaos(RunFolder.at(folder / "calm"))
    calm._finish(calm.command("up", "--out", str(calm.folder.path), *settings))
    expected = settled_edges(Simulation.attach(calm.folder))
    every = [Chaos(RunFolder.at(folder / f"chaos-{k}"), random.Random(SEED + k)) for k in range(simulations)]
    until = time.monotonic() + MAX_SECONDS
    with bystanders(folder) as count_ended, ThreadPoolExecutor(simulations) as pool:
        ends = [
            pool.submit(chaos.endure, settings, cycles[k::simulations], until)
            for k, chaos in enumerate(every)
        ]
        found = [end.result() for end in ends]
        touched = count_ended()
    different = sum(edges.get(pair) != edge for edges in found for pair, edge in expected.items())
    return rows(every, len(cycles), touched, different, len(expected))


def rows(every: Sequence[Chaos], planned: int, touched: int, different: int, pairs: int) -> list[Metric]:
    """Return the metrics of all cycles of some simulations."""
    done = sum(len(chaos.done) for chaos in every)
    left = sum(len(chaos.processes()) for chaos in every)
    hung = sum(chaos.hung for chaos in every)
    failed = sum(chaos.failed_polls for chaos in every)
    damaged = sum(not is_whole(chaos.folder) for chaos in every)
    hits, ended = sum(chaos.hits for chaos in every), sum(chaos.ended_before for chaos in every)
    lost = sum(chaos.not_recovered for chaos in every)
    return [
        Metric("cycles of up and down under signals", done, "", "planned", planned),
        Metric("signals that reached their target", hits, "", "whose target had not ended", done - ended,
               at_least(done - ended)),
        Metric("simulations that did not recover", lost, "", "planned", 0, at_most(0)),
        Metric("processes left behind", left, "", "planned", 0, at_most(0)),
        Metric("processes of others that ended", touched, "", "bystanders", 3, at_most(0)),
        Metric("commands that hung", hung, "", "cycles", done, at_most(0)),
        Metric("requests that the page did not answer", failed, "", "planned", 0, at_most(0)),
        Metric("damaged ledgers", damaged, "", "ledgers", len(every), at_most(0)),
        Metric("edges unlike those of a calm run", different, "", "ordered pairs", pairs, at_most(0)),
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Run all cycles in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="social-jepa-chaos-", ignore_cleanup_errors=True) as folder:
        cycles = plan(max(2, effort.of(CYCLES)), random.Random(SEED))
        return endure(Path(folder), effort.settings, cycles, SIMULATIONS)

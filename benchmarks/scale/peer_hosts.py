"""Three hosts with one `social-jepa peer` each over TCP: a bad network, and a link that is cut for 30 s.

The hosts are network namespaces of this machine (`benchmarks.networks`), which needs root. Where the kernel
can emulate a bad network (netem), it delays and loses packets; elsewhere the peers do so with what they send
(``--faults``). The edges must equal those of the same peers without faults, to the last digit.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import BenchmarkError, Effort, Metric, at_least, log
from benchmarks.networks import Networks, networks_up
from benchmarks.soak.common import TOY
from social_jepa.records import EdgeRecord, replace
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerError
from social_jepa.storage.peer_status import read_status
from social_jepa.storage.run_folder import RunFolder

NAMES = ("agent-0", "agent-1", "agent-2")
CUT, CUT_SECONDS = 2, 30.0  # the network that is cut off, and for how long
DELAY_MS, LOSS_PERCENT = 50.0, 2.0
FAULTS = (
    f"drop={LOSS_PERCENT / 100:g},delay={2 * DELAY_MS / 1000:g}"  # a random share of the delay: half of it
)
PORT, TIMEOUT, POLL_SECONDS = 7000, 1800.0, 0.2
SETTINGS = (*TOY, "agents.count=3", "training.steps=150")
Edges = dict[tuple[str, str], tuple[EdgeRecord, bytes | None]]


@dataclass
class PeerGroup:
    """The peers of one run, each in its network.

    Attributes:
        folder: Holds the folder of each.
        networks: Where they run.
        processes: By name.
    """

    folder: Path
    networks: Networks
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, words: Sequence[str]) -> None:
        """Start all peers; each knows the address of the one before."""
        for number, name in enumerate(NAMES, 1):
            dialed = ["--connect", f"{self.networks.address(number - 1)}:{PORT}"] if number > 1 else []
            listen = f"{self.networks.address(number)}:{PORT}"
            command = [
                sys.executable, "-m", "social_jepa", "peer", "--out", str(self.folder / name), "--name", name,
                "--listen", listen, *dialed, *words,
            ]  # fmt: skip
            with (self.folder / f"{name}.log").open("wb") as file:
                self.processes[name] = self.networks.spawn(number, command, stdout=file, stderr=file)

    def stop(self) -> None:
        """End all peers; they save."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            process.wait(TIMEOUT)

    def connected(self) -> dict[str, set[str]]:
        """Return to which others each peer has a connection."""
        found = {}
        for name in NAMES:
            status = read_status(self.folder / name) if (self.folder / name).is_dir() else None
            found[name] = {peer.name for peer in status.peers if peer.connected} if status else set()
        return found

    def all_connected(self) -> bool:
        """Return whether each peer has a connection to each other one."""
        return all(others == {*NAMES} - {name} for name, others in self.connected().items())

    def edges(self) -> Edges:
        """Return the edges that the ledgers hold, without times and bytes, and their maps as bytes."""
        found: Edges = {}
        for name in NAMES:
            path = RunFolder.at(self.folder / name).ledger_file
            with contextlib.suppress(LedgerError), contextlib.closing(Ledger(path, read_only=True)) as ledger:
                found |= {
                    (edge.source, edge.target): (replace(edge, time=0.0, bytes=0), maps)
                    for edge, maps in ledger.edges()
                }
        return found

    def bytes(self) -> int:
        """Return the bytes of all edges."""
        total = 0
        for name in NAMES:
            path = RunFolder.at(self.folder / name).ledger_file
            with contextlib.closing(Ledger(path, read_only=True)) as ledger:
                total += sum(edge.bytes for edge, _ in ledger.edges())
        return total

    def wait(self, ready: Callable[[], bool], what: str) -> float:
        """Return the seconds until a condition holds.

        Raises:
            BenchmarkError: It does not in time, or a peer has ended.
        """
        began = time.perf_counter()
        while not ready():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    said = (self.folder / f"{name}.log").read_text(encoding="utf-8")
                    raise BenchmarkError(f"{name} ended: {said[-2000:]}")
            if time.perf_counter() - began > TIMEOUT:
                raise BenchmarkError(f"{what}: not within {TIMEOUT:g} s; connections: {self.connected()}")
            time.sleep(POLL_SECONDS)
        return time.perf_counter() - began

    def settled(self) -> bool:
        """Return whether all edges are in the ledgers."""
        return len(self.edges()) == len(NAMES) * (len(NAMES) - 1)


@contextlib.contextmanager
def peers(folder: Path, networks: Networks, words: Sequence[str]) -> Iterator[PeerGroup]:
    """Run three peers in a new folder; they are ended on exit."""
    folder.mkdir()
    group = PeerGroup(folder, networks)
    try:
        group.start(words)
        yield group
    finally:
        group.stop()


def calm(folder: Path, networks: Networks, words: Sequence[str]) -> tuple[float, Edges, int]:
    """Return (seconds until all edges are settled, edges, bytes) without faults."""
    with peers(folder, networks, words) as group:
        seconds = group.wait(group.settled, "the peers without faults")
    return seconds, group.edges(), group.bytes()


def disturbed(
    folder: Path, networks: Networks, words: Sequence[str], calm_edges: Edges, calm_bytes: int
) -> list[Metric]:  # fmt: skip
    """Measure the same peers in a bad network, one of whose links is cut before they have negotiated."""
    emulated = networks.make_bad(DELAY_MS, LOSS_PERCENT)
    log(f"  bad network: {'netem' if emulated else f'--faults {FAULTS}, as the kernel has no netem'}")
    began = time.perf_counter()
    with peers(folder, networks, [*words, *([] if emulated else ["--faults", FAULTS])]) as group:
        group.wait(group.all_connected, "connections")
        with networks.cut(CUT):
            cut_at = time.perf_counter()
            noticed = group.wait(lambda: _alone(group.connected()), "the cut link is noticed")
            time.sleep(max(0.0, CUT_SECONDS - (time.perf_counter() - cut_at)))
            held, settled_then = time.perf_counter() - cut_at, len(group.edges())
        restored_at = time.perf_counter()
        connected = group.wait(group.all_connected, "connections after the cut")
        group.wait(group.settled, "edges after the cut")
        settled = time.perf_counter() - restored_at
        total = time.perf_counter() - began
    edges, size = group.edges(), group.bytes()
    equal = sum(edges[pair] == calm_edges[pair] for pair in calm_edges)
    how = "netem" if emulated else f"--faults {FAULTS}"
    title, nan = f"{DELAY_MS:g} ms, {LOSS_PERCENT:g} % lost ({how})", float("nan")
    return [
        Metric(f"{title}, a link cut for {held:.0f} s: all edges settled", total, "s", "", nan),
        Metric("cut link: until both ends have noticed", noticed, "s", "", nan),
        Metric("cut link: edges settled meanwhile", settled_then, "", "of", len(calm_edges)),
        Metric("from its mending until all are connected again, without help", connected, "s", "", nan),
        Metric("from its mending until all edges are settled", settled, "s", "", nan),
        Metric("bytes of all edges", size, "", "without faults", calm_bytes),
        Metric(
            "edges equal to those without faults, scores and maps to the last digit", equal, "", "of",
            len(calm_edges), at_least(1, True),
        ),
    ]  # fmt: skip


def _alone(connected: dict[str, set[str]]) -> bool:
    """Return whether no peer has a connection to or from the one that is cut off."""
    lost = NAMES[CUT - 1]
    return not connected[lost] and all(lost not in others for others in connected.values())


def metrics(effort: Effort) -> list[Metric]:
    """Run the peers without faults, then in a bad network with a cut link, and compare their edges."""
    words = (*SETTINGS, *effort.settings)
    with (
        tempfile.TemporaryDirectory(prefix="sj-peers-", dir="/var/tmp") as path,
        networks_up(len(NAMES)) as nets,
    ):
        seconds, edges, size = calm(Path(path) / "calm", nets, words)
        log(f"  without faults: {seconds:.1f} s")
        found = disturbed(Path(path) / "disturbed", nets, words, edges, size)
    for each in found:
        log(f"  {each.name}: {each.value:.4g} {each.unit}")
    return [Metric("without faults: all edges settled", seconds, "s", "", float("nan")), *found]

"""What the server knows of a run: read once, and again only when the ledger has changed."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alignment.graph import MIN_R2
from alignment.status import Status
from social_jepa.graph.records import encode
from social_jepa.graph.results import Results, StaleAnchorsError, read_results
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, RunFolderError

SLOW = 0.05  # seconds; a graph that takes longer to read is not read at every change
PATIENCE = 4.0  # how old such a graph may be, in the times that reading it takes
GLANCE = 0.1  # seconds for which small questions need not look at the ledger again
RETRY = 0.5  # seconds that an agent's new anchors may be ahead of the ledger


@dataclass(frozen=True)
class Snapshot:
    """The graph at one version of the ledger.

    Attributes:
        version: Numbers of the newest edge, publication and event.
        up: Whether its simulation said that it is up.
        seconds: What reading it took.
        made: What was made of it, by name: bytes of answers.
    """

    results: Results
    version: tuple[int, int, int]
    up: bool
    etag: str
    seconds: float
    read_at: float
    made: dict[str, Any] = field(default_factory=dict)

    def make(self, name: str, build: Callable[[Results], Any]) -> Any:
        """Return what is built of this graph once and kept."""
        if name not in self.made:
            self.made[name] = build(self.results)
        return self.made[name]


class SnapshotCache:
    """One run folder, read by any number of threads."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.config = folder, folder.config()
        self._lock = threading.RLock()
        self._open: Ledger | None = None
        self._held: Snapshot | None = None
        self._looked = 0.0
        self._mark = hashlib.sha256(f"{folder.namespace}{self.config.hash()}".encode()).hexdigest()[:12]

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Lend the ledger to one thread at a time; one that failed is opened anew next time.

        Raises:
            LedgerError: It is missing, damaged, or another program keeps it too long.
        """
        with self._lock:
            if self._open is None:
                self._open = Ledger(self.folder.ledger_file, read_only=True)
            try:
                yield self._open
            except ValueError:
                self.close()
                raise

    def version(self) -> tuple[int, int, int]:
        """Return numbers that change whenever anything happens; see `Ledger.version`."""
        with self.ledger() as ledger:
            return ledger.version()

    def now(self) -> Snapshot:
        """Return the graph as it stands; one that is slow to read may be a little older."""
        with self._lock:
            held = self._held
            if held and held.seconds > SLOW and _age(held) < PATIENCE * held.seconds:
                return held
            version, up = self.version(), self.folder.simulation_file.exists()
            if held is None or (held.version, held.up) != (version, up):
                self._held = held = self._read(version, up)
            self._looked = time.monotonic()
            return held

    def glance(self) -> Snapshot | None:
        """Return the graph if somebody looked at the ledger just now; never blocks."""
        return self._held if time.monotonic() - self._looked < GLANCE else None

    def then(self, as_of: float) -> Results:
        """Return the graph as it stood at a time."""
        with self.ledger() as ledger:
            return read_results(self.folder, self.config, ledger, as_of)

    def ask(self, question: Callable[[Results], Any]) -> Any:
        """Answer from the newest graph.

        An agent writes its anchors a moment before the ledger names them: whoever asks in between waits.
        """
        until = time.monotonic() + RETRY
        while True:
            snapshot = self.now()
            try:
                return question(snapshot.results)
            except StaleAnchorsError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def _read(self, version: tuple[int, int, int], up: bool) -> Snapshot:
        began = time.perf_counter()
        with self.ledger() as ledger:
            results = read_results(self.folder, self.config, ledger)
        for agent in results.document.agents:
            with contextlib.suppress(RunFolderError):  # who asks for them is told why
                results.pools(agent.name)
        seconds = time.perf_counter() - began
        etag = f'W/"{self._mark}-{"-".join(map(str, version))}"'
        return Snapshot(results, version, up, etag, seconds, time.monotonic())

    def close(self) -> None:
        """Close the ledger."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None


def _age(snapshot: Snapshot) -> float:
    return time.monotonic() - snapshot.read_at


def as_json(value: Any) -> bytes:
    """Return JSON; what is not a finite number is null."""
    return encode(value)


def quality_matrix(results: Results) -> dict[str, Any]:
    """Return who understands whom: rows speak, columns listen.

    ``best`` is the largest product of held-out core R2 over accepted edges along any way, by Floyd and
    Warshall's recursion: 0 where no way leads.
    """
    names = list(results.graph.agents)
    place = {name: row for row, name in enumerate(names)}
    status: list[list[str | None]] = [[None] * len(names) for _ in names]
    direct: list[list[float | None]] = [[None] * len(names) for _ in names]
    best = np.zeros((len(names), len(names)))
    for edge in results.document.edges:
        row, column = place[edge.source], place[edge.target]
        status[row][column], direct[row][column] = edge.status, edge.r2_core
        if edge.status == Status.ACCEPTED:
            best[row, column] = min(max(edge.r2_core or 0.0, MIN_R2), 1.0)
    for middle in range(len(names)):
        best = np.maximum(best, best[:, middle, None] * best[None, middle, :])
    np.fill_diagonal(best, 1.0)
    return {"agents": names, "status": status, "r2_core": direct, "best": best.tolist()}

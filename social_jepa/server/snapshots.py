"""The graph of a run folder, read once and again only when the ledger has changed."""

import contextlib
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from env.scene import Scene
from social_jepa.config.time_parsing import FOREVER, parse_time
from social_jepa.graph import edge_lookup
from social_jepa.graph.edge_lookup import UnsettledEdgeError
from social_jepa.graph.results import Results, ResultsReader, read_results
from social_jepa.graph.results_errors import StaleAnchorsError
from social_jepa.records import EdgeRecord
from social_jepa.server.problems import NOT_FOUND, ProblemError
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

T = TypeVar("T")

SLOW_SECONDS = 0.05  # a graph that takes longer to read is not read at every change
MAX_AGE_FACTOR = 4.0  # how old such a graph may be, as a multiple of the time that reading it takes
MAX_CACHED = 64  # values of one graph: a client may ask for drawings with any bound of R2
RECENT_SECONDS = 0.1  # for which a graph may be used without reading the ledger's version
RETRY_SECONDS = 0.5  # for which an agent's new anchors may be ahead of the ledger


@dataclass(frozen=True)
class Snapshot:
    """The graph at one version of the ledger.

    Attributes:
        results: The graph.
        version: Numbers of the newest edge, publication and event.
        up: Whether the simulation was up.
        etag: Entity tag of this version.
        seconds: Time that reading it took.
        read_at: When it was read, by the monotonic clock.
        as_of: Time of the graph, in seconds since the epoch; FOREVER: it was the newest.
        cache: Values that were computed from it, by key.
        lock: Held while a value is added.
    """

    results: Results
    version: tuple[int, int, int]
    up: bool
    etag: str
    seconds: float
    read_at: float
    as_of: float
    cache: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cached(self, key: str, compute: Callable[[Results], T]) -> T:
        """Return a value that is computed once from this graph, or again after MAX_CACHED others."""
        with contextlib.suppress(KeyError):
            known: T = self.cache[key]
            return known
        found = compute(self.results)
        with self.lock:
            self.cache[key] = found
            while len(self.cache) > MAX_CACHED:
                del self.cache[next(iter(self.cache))]
        return found


class SnapshotCache:
    """The newest snapshot of a run folder, for any number of threads.

    Attributes:
        folder: The run folder.
        config: Its settings.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.config = folder, folder.recorded_config()
        self._lock = threading.RLock()
        self._ledger: Ledger | None = None
        self._reader: ResultsReader | None = None  # of the open ledger
        self._snapshot: Snapshot | None = None
        self._earlier: tuple[float, Snapshot] | None = None
        self._checked_at = 0.0
        self._run_id = ""  # until it is known
        self._file: tuple[int, int] | None = None  # which one was opened, while it is open

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Yield the ledger to one thread at a time; after an error it is opened again.

        Raises:
            LedgerError: It is missing, damaged, or another program locks it for too long.
        """
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self.folder.ledger_file, read_only=True)
                self._file = _identity(self.folder.ledger_file)
            try:
                yield self._ledger
            except ValueError:
                self.close()
                raise

    @property
    def run_id(self) -> str:
        """Identifier of the run in entity tags and event ids; another run in the same folder has another.

        Not a cached_property: up to Python 3.11 it holds one lock for all instances, and one thread would
        wait with it for the ledger, while another waits with the ledger for it.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        if not self._run_id:
            with self.ledger() as ledger:
                began = [event.time for event in ledger.events(limit=1)]
            name = f"{self.folder.namespace}{self.config.hash()}{began}"
            self._run_id = hashlib.sha256(name.encode()).hexdigest()[:12]
        return self._run_id

    def is_replaced(self) -> bool:
        """Return whether the ledger that was opened is not the one in the folder: another, or none."""
        return self._file is not None and self._file != _identity(self.folder.ledger_file)

    def version(self) -> tuple[int, int, int]:
        """Return numbers that change with every record; see `Ledger.version`."""
        with self.ledger() as ledger:
            return ledger.version()

    @functools.cached_property
    def scene(self) -> Scene:
        """The scene of the run, in which no agent stands.

        Raises:
            ValueError: Its frames, or the code of its classes, are not on this machine.
        """
        return Scene(self.config.scene, self.config.seed)

    def scene_here(self) -> Scene | None:
        """Return the scene, or None where it cannot be built: the graph can be read without it."""
        try:
            return self.scene
        except ValueError:
            return None

    def current(self, newest: bool = False) -> Snapshot:
        """Return the newest graph; one that is slow to read may be a little older.

        Args:
            newest: Whether it may not be older.

        Raises:
            LedgerError: The ledger cannot be read.
            NoAgentsError: No agent has joined yet.
        """
        with self._lock:
            snapshot = self._snapshot
            if snapshot and not newest and snapshot.seconds > SLOW_SECONDS and _is_fresh(snapshot):
                return snapshot
            version, up = self.version(), self.folder.simulation_file.exists()
            if snapshot is None or (snapshot.version, snapshot.up) != (version, up):
                self._snapshot = snapshot = self._read(version, up)
            self._checked_at = time.monotonic()
            return snapshot

    def recent(self) -> Snapshot | None:
        """Return the graph if the ledger's version was read just now, else None; never blocks."""
        return self._snapshot if time.monotonic() - self._checked_at < RECENT_SECONDS else None

    def at(self, as_of: str | None) -> Snapshot:
        """Return the graph at a time, such as "10 minutes ago"; None, "now": the newest.

        The last one of an earlier time is kept, since a page asks several routes for one time.

        Raises:
            TimeError: The text is no time, or one that has not come.
            LedgerError, NoAgentsError: As for `current`.
        """
        when = parse_time(as_of)
        if when >= FOREVER:
            return self.current()
        with self._lock:
            version = self.version()
            if self._earlier is None or (self._earlier[0], self._earlier[1].version) != (when, version):
                self._earlier = when, self._read(version, False, when)
            return self._earlier[1]

    def compute(self, function: Callable[[Results], T]) -> T:
        """Return the value of a function of the newest graph.

        An agent writes its anchors a moment before the ledger records them: in between the call is retried.
        """
        deadline = time.monotonic() + RETRY_SECONDS
        snapshot = self.current()
        while True:
            try:
                return function(snapshot.results)
            except StaleAnchorsError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
                snapshot = self.current(newest=True)

    def _read(self, version: tuple[int, int, int], up: bool, as_of: float = FOREVER) -> Snapshot:
        start = time.perf_counter()
        with self.ledger() as ledger:
            if as_of < FOREVER:
                results = read_results(self.folder, self.config, ledger, as_of)
            else:
                self._reader = self._reader or ResultsReader(self.folder, self.config, ledger)
                results = self._reader.read()
        seconds = time.perf_counter() - start
        etag = f'W/"{self.run_id}-{"-".join(map(str, version))}"'
        return Snapshot(results, version, up, etag, seconds, time.monotonic(), as_of)

    def close(self) -> None:
        """Close the ledger."""
        with self._lock:
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = self._reader = None
                self._file = None  # another file may get the same number once this one is closed


def _identity(file: Path) -> tuple[int, int] | None:
    """Return numbers that no other file has while this one exists or is open; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_fresh(snapshot: Snapshot) -> bool:
    return time.monotonic() - snapshot.read_at < MAX_AGE_FACTOR * snapshot.seconds


def find_edge(results: Results, source: str, target: str, until: float = FOREVER) -> EdgeRecord:
    """Return the record of an edge; for `until` see `edge_lookup.find_edge`.

    Raises:
        UnknownAgentError: There is no such agent.
        ProblemError: The two have not settled that edge yet.
    """
    try:
        return edge_lookup.find_edge(results, source, target, until)
    except UnsettledEdgeError as error:
        raise ProblemError(NOT_FOUND, f"{error}: /api/edges lists the settled ones") from error

"""A batch run: start agents, let them train and negotiate, write the graph, and end.

It uses the same supervisor and agents as a simulation, on a Ray that ends with it.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from signal import Signals
from typing import Protocol

from agents.protocol.topology import Topology
from alignment.status import Status
from social_jepa.config.run_config import RunConfig
from social_jepa.records import AgentStatus, EdgeRecord, FullGraphDocument
from social_jepa.runtime.control import ControlClient
from social_jepa.runtime.errors import (
    AgentLostError,
    ClusterError,
    NotRecordedError,
    RunStoppedError,
    SupervisorLostError,
    SupervisorUnavailableError,
)
from social_jepa.runtime.membership import record_start
from social_jepa.runtime.resource_errors import NoRoomError
from social_jepa.runtime.start import Started, end_on_cluster, poll_pause, started, status_of
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerError, LedgerUnavailableError
from social_jepa.storage.run_folder import RunFolder
from social_jepa.system.signals import signal_of

logger = logging.getLogger(__name__)

NEGOTIATION_TIMEOUT = 60.0  # seconds, plus one for each edge, after which an unsettled edge has failed
POLL_SECONDS = 0.2  # seconds between two polls of the supervisor; more for many agents
SAVE_TIMEOUT = 10.0  # seconds that agents may take at the end to write what they could not write before
STOP_TIMEOUT = 90.0  # seconds that agents may take to save
ROOM_SECONDS = 5.0  # that an agent may wait for resources of a local Ray, which no other program uses
LEDGER_POLL_SECONDS = 0.02  # seconds between two reads of the ledger


class ProgressObserver(Protocol):
    """Receiver of the progress of a run."""

    def phase(self, text: str) -> None:
        """Show that a new phase began."""

    def progress(self, agents: Sequence[AgentStatus]) -> None:
        """Show the progress of the agents, and what they wait for."""


@dataclass
class BatchRun:
    """One batch run.

    Attributes:
        config: Its settings.
        folder: Its run folder.
        observer: Receiver of its progress.
        resume: Whether agents continue from their checkpoints.
        seconds: Wall time by phase, filled while it runs.
        unsaved: What could not be saved, one sentence each, known when it has run.
    """

    config: RunConfig
    folder: RunFolder
    observer: ProgressObserver
    resume: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    unsaved: list[str] = field(default_factory=list)
    _waiting: dict[str, float] = field(default_factory=dict)  # since when agents wait for resources, by name
    _joined: bool = False  # a cluster, which may grow or be used by others

    def run(self, address: str | None = None) -> FullGraphDocument:
        """Run, write the graph to the run folder and return it.

        Args:
            address: Ray cluster to join; default: a local Ray is started.

        Raises:
            AddressError, ClusterError: Ray does not answer.
            NoRoomError: The local Ray never has the resources of an agent.
            AgentLostError: An agent failed, or its process kept dying.
            SupervisorLostError: The supervisor does not answer; agents continue from their checkpoints.
            NotRecordedError: The ledger could not be written until the end.
            RunStoppedError: Interrupted from the keyboard; the agents have saved checkpoints.
            NoCheckpointsError, ConfigError: See `record_start`; the ledger is as it was.
            RunFolderInUseError: Another process runs in the folder; the ledger is as it was.
        """
        self._joined = address not in (None, "", "local")
        with (
            self.folder.command_lock(),
            contextlib.closing(Ledger(self.folder.ledger_file, create=True)) as ledger,
        ):
            began = time.perf_counter()
            self._record_start(ledger)
            try:
                return self._run(ledger, address, began)
            except KeyboardInterrupt as error:
                number = signal_of(error)
                _record_stop(ledger, f"interrupted by {Signals(number).name}")
                raise RunStoppedError(self.folder.path, number) from None
            except SupervisorUnavailableError as error:
                lost = SupervisorLostError(self.folder.path, error.reason)
                logger.error("the run stopped: %s", lost)
                _record_stop(ledger, str(lost))
                raise lost from error
            except LedgerError:
                raise  # it cannot be written any more
            except BaseException as error:
                logger.error("the run stopped: %s", error)
                _record_stop(ledger, str(error) or type(error).__name__)
                raise

    def _record_start(self, ledger: Ledger) -> None:
        """Record that the run starts; what is refused here leaves the ledger, and so its state, as it was."""
        self.folder.acquire_lock().release()  # the supervisor takes it
        event_type = "resumed" if self.resume else "started"
        try:
            record_start(ledger, self.config, self.folder, event_type, online=False)
        except KeyboardInterrupt as error:
            raise RunStoppedError(self.folder.path, signal_of(error)) from None

    def _run(self, ledger: Ledger, address: str | None, began: float) -> FullGraphDocument:
        self._phase("starting Ray" if not self._joined else f"joining the cluster at {address}")
        with started(self.folder, address, online=False) as found:
            try:
                self._run_agents(found, ledger)
            finally:
                self._end(found)
        self._phase("scoring and writing")
        return self.collect(ledger, began)

    def _phase(self, text: str) -> None:
        logger.info("%s", text)
        self.observer.phase(text)

    def _run_agents(self, found: Started, ledger: Ledger) -> None:
        found.control.own()  # the supervisor ends if this process is killed
        self._phase(f"starting {self.config.agents.count} agents ({found.note})")
        try:
            self._phase("recording and training, each agent alone")
            self._wait(found.control, lambda agent: bool(agent.checkpoint))
            self._phase("negotiating every ordered pair")
            self._negotiate(found.control, ledger)
            self._wait(found.control, lambda agent: not agent.unsaved, SAVE_TIMEOUT)
        except BaseException as error:
            self._save(found.control, error)
            raise

    def _save(self, control: ControlClient, error: BaseException) -> None:
        """Have all agents save, whatever has ended the run."""
        with contextlib.suppress(OSError, SystemExit):  # the terminal, or the program that reads, may be gone
            self._phase("stopping: agents save their checkpoints")
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        with contextlib.suppress(ClusterError, ValueError, LookupError):  # `error` is raised
            self.unsaved = control.call("stop", reason, kind=list[str], timeout=STOP_TIMEOUT)

    def _end(self, found: Started) -> None:
        """End the supervisor and its agents."""
        try:
            found.control.call("end", timeout=STOP_TIMEOUT)
        except (ClusterError, ValueError, LookupError):  # it has ended, or is restarting
            if found.local_ray is None:
                end_on_cluster(self.folder, found.address)
        found.control.disown()

    def _wait(
        self, control: ControlClient, done: Callable[[AgentStatus], bool], timeout: float = float("inf")
    ) -> None:
        """Poll the supervisor until all agents are done, or the timeout has passed."""
        deadline = time.monotonic() + timeout
        while True:
            agents = status_of(control)
            control.own_again()
            for agent in agents:
                if agent.failure:
                    raise AgentLostError(agent.failure)
            if not self._joined:
                self._check_room(agents)
            self._note_unsaved(agents)
            self.observer.progress(agents)
            if all(done(agent) for agent in agents) or time.monotonic() > deadline:
                return
            time.sleep(poll_pause(POLL_SECONDS, len(agents)))

    def _note_unsaved(self, agents: Sequence[AgentStatus]) -> None:
        """Show what agents cannot write, once."""
        earlier, self.unsaved = (
            self.unsaved, [f"{agent.name} {each}" for agent in agents for each in agent.unsaved],
        )  # fmt: skip
        for sentence in self.unsaved:
            if sentence not in earlier:
                self._phase(f"{sentence}; it goes on and tries again")

    def _check_room(self, agents: Sequence[AgentStatus]) -> None:
        """Raise NoRoomError once an agent has waited for long enough that no dead process holds its place."""
        for agent in agents:
            if not agent.waiting_for:
                self._waiting.pop(agent.name, None)
            elif time.monotonic() - self._waiting.setdefault(agent.name, time.monotonic()) > ROOM_SECONDS:
                raise NoRoomError(agent.name, agent.waiting_for)

    def _negotiate(self, control: ControlClient, ledger: Ledger) -> None:
        began = time.perf_counter()
        pairs = Topology.parse(self.config.negotiation.topology).pairs(self.config.names())
        timeout = NEGOTIATION_TIMEOUT + len(pairs)
        deadline = time.monotonic() + timeout
        self._wait(control, lambda agent: agent.settled, timeout)
        # the supervisor records settled edges a moment after agents report that they are settled
        while True:
            versions = {name: agent.checkpoint for name, agent in ledger.agents().items()}
            missing = pairs - _current_edges(ledger, versions)
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(LEDGER_POLL_SECONDS)
        self.seconds["negotiate"] = time.perf_counter() - began
        if not set(self.config.names()) <= versions.keys():
            raise NotRecordedError(self.folder.path, tuple(self.unsaved))
        ledger.record(edges=[failed_edge(*pair, versions) for pair in sorted(missing)])

    def collect(self, ledger: Ledger, began: float) -> FullGraphDocument:
        """Record the end of the run and its times since `began` (time.perf_counter); export the graph."""
        from social_jepa.graph.results import export, read_results  # torch: a run starts without it

        agents = ledger.agents().values()
        self.seconds |= {
            "record": max(agent.record_seconds for agent in agents),
            "train": max(agent.train_seconds for agent in agents),
            "total": time.perf_counter() - began,
        }
        ledger.event("finished", seconds=self.seconds)
        return export(read_results(self.folder, self.config, ledger))


def _current_edges(ledger: Ledger, versions: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return the ordered pairs whose newest edge is between their newest models."""
    return {
        (edge.source, edge.target)
        for edge, _ in ledger.edges()
        if edge.source_checkpoint == versions.get(edge.source)
        and edge.target_checkpoint == versions.get(edge.target)
    }


def _record_stop(ledger: Ledger, reason: str) -> None:
    try:
        ledger.event("stopped", reason=reason)
    except LedgerUnavailableError as error:  # what stopped the run is of more interest
        logger.warning("the ledger does not say that the run stopped: %s", error)


def failed_edge(source: str, target: str, versions: Mapping[str, str]) -> EdgeRecord:
    """Return the record of an edge that was not settled in time."""
    from agents.protocol.edge import EdgeResult
    from social_jepa.graph.graph_json import edge_record  # torch: a run starts without it

    reason = f"{source} and {target} did not finish negotiating in time"
    logger.warning("edge %s > %s failed: %s", source, target, reason)
    return edge_record(
        EdgeResult(source, target, 0, Status.FAILED, reason, versions[source], versions[target])
    )

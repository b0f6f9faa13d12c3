"""The Ray actor in which agents take turns: it trains one after the other, and negotiates for many at once.

An agent needs a process only while it trains. Its turn ends once its model is published and saved; everything
that its peers ask for is then in its snapshot.
"""

import agents.common.ray_environment  # noqa: F401

import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError

from agents.common.device import select_device
from agents.common.niceness import raise_niceness
from agents.exit_file import exit_path, record_exit
from agents.file_access import FileAccess
from agents.file_sender import FileNotSentError
from agents.logs import log_to_file
from agents.protocol.events import AgentEvents
from agents.protocol.identity import Identity, load_identity
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.verifier import LocalPeer
from agents.report import AgentReport, report_of
from agents.runner import SWITCH_INTERVAL, AgentRunner
from agents.side_negotiation import Side, negotiate_sides
from agents.spec import AgentSpec

logger = logging.getLogger(__name__)

CALLS = 4  # that run at the same time: a turn, the same one again after a lost connection, a report, a stop
TRANSFER_TIMEOUT = 60.0  # seconds that the supervisor may take to store or return a part of a file
CLOSE_TIMEOUT = 45.0  # seconds in which the files of a turn that is stopped should reach the supervisor
ARRIVAL_POLL_SECONDS = 0.1  # between two looks at whether the files of a turn have reached it


@dataclass(frozen=True)
class Negotiated:
    """What one call has negotiated.

    Attributes:
        events: Events of each name.
        public_keys: The key that each name signed with.
    """

    events: Mapping[str, AgentEvents]
    public_keys: Mapping[str, bytes]


@ray.remote(max_concurrency=CALLS)  # type: ignore[call-overload]  # its stubs lack the option
class TurnWorker:
    """A process that agents of a batch run share, one turn after the other."""

    def __init__(self, name: str, supervisor: Any, log_file: str = "", nice: int = 0) -> None:
        """Wait for turns.

        Args:
            name: Name of this worker.
            supervisor: Handle of the actor that stores files of agents.
            log_file: File to append log records to; empty for none.
            nice: Least niceness of its process.
        """
        raise_niceness(nice)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._name, self._supervisor = name, supervisor
        self._turn: tuple[AgentRunner, PeerProtocol, FileAccess, str] | None = None
        self._stopping = threading.Event()
        self._training = threading.Lock()
        self._done: tuple[tuple[str, int], AgentReport] | None = None  # newest turn, and its report
        self._identities: dict[str, Identity] = {}  # of agents that negotiate here
        if log_file and Path(log_file).parent.parent.is_dir():  # elsewhere it would make a stray folder
            log_to_file(log_file)
            record_exit(exit_path(Path(log_file)))

    def node(self) -> str:
        """Return Ray's id of the machine that this process runs on."""
        found: str = ray.get_runtime_context().get_node_id()
        return found

    def train(self, spec: AgentSpec, incarnation: int, session: bytes) -> AgentReport:
        """Train an agent from its checkpoint to the end of its schedule, publish, and return its report.

        The report says why that failed; after `stop` it has no snapshot. A second call for the same turn, as
        after a lost connection, waits for the first one and returns the same report.

        Args:
            spec: Specification of the agent.
            incarnation: Number of this turn among the processes and turns of the agent.
            session: 16 bytes of the run.
        """
        with self._training:
            if self._done is None or self._done[0] != (spec.name, incarnation):
                self._done = (spec.name, incarnation), self._train(spec, incarnation, session)
            return self._done[1]

    def _train(self, spec: AgentSpec, incarnation: int, session: bytes) -> AgentReport:
        files = FileAccess(self._call_supervisor, spec.name, incarnation, spec.folder, log_file="")
        device = select_device(spec.device, bool(ray.get_gpu_ids()))
        local = LocalPeer(spec.name, load_identity(Path(files.folder)), incarnation, session)
        protocol = PeerProtocol(local, MemoryTransport())
        runner = AgentRunner(protocol, files.saved)
        self._turn = runner, protocol, files, device
        if self._stopping.is_set():
            runner.stop()
        logger.info("%s has its turn on %s, process of %s", spec.name, device, self._name)
        runner.run(replace(spec, folder=files.folder, device=device), until_published=True)
        while not (files.arrived() or self._stopping.wait(ARRIVAL_POLL_SECONDS)):
            pass  # the supervisor's disk may be full: what it does not take is in every report
        sent = True
        try:
            files.close(CLOSE_TIMEOUT)
        except FileNotSentError as error:
            sent = False
            logger.warning("%s: %s", spec.name, error)
        report = self._report(runner, protocol, files, device)
        self._turn = None
        return report if sent else replace(report, snapshot=None)

    def report(self) -> AgentReport | None:
        """Return the state of the agent that has its turn, without its snapshot; None between two turns."""
        turn = self._turn
        return replace(self._report(*turn), snapshot=None) if turn is not None else None

    def _report(
        self, runner: AgentRunner, protocol: PeerProtocol, files: FileAccess, device: str
    ) -> AgentReport:
        return report_of(
            runner, protocol, protocol.channel.incarnation, 0, "",
            node=ray.get_runtime_context().get_node_id(), device=device, unsaved=files.unsaved(),
        )  # fmt: skip

    def negotiate(self, sides: Sequence[Side], session: bytes, keys_here: bool) -> Negotiated:
        """Let agents that have published negotiate with their peers among them.

        Args:
            sides: The agents.
            session: 16 bytes of the run.
            keys_here: Whether this machine has the run folder with the signing keys; else this process makes
                one for each agent, and keeps it.
        """
        for side in sides:
            if side.spec.name not in self._identities:
                folder = Path(side.spec.folder)
                self._identities[side.spec.name] = load_identity(folder) if keys_here else Identity.generate()
        keys = {side.spec.name: self._identities[side.spec.name].public_key for side in sides}
        return Negotiated(negotiate_sides(sides, self._identities, session), keys)

    def stop(self) -> None:
        """End the turn after the current step; the agent saves its checkpoint. No further turn begins."""
        self._stopping.set()
        if (turn := self._turn) is not None:  # which the other thread may end now
            turn[0].stop()

    def _call_supervisor(self, method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._supervisor, method).remote(*arguments), timeout=TRANSFER_TIMEOUT)
        except RayTaskError as error:
            raise (error.cause or error) from None

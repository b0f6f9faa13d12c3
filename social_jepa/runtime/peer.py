"""One agent as an ordinary process: it trains, and negotiates with peers over TCP. No Ray, no supervisor.

Its run folder holds its own checkpoints and ledger: its model, and the edges into it. Peers that were started
with the same settings negotiate the same edges as the agents of one run.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from agents.common.config_error import ConfigError
from agents.common.device import select_device
from agents.logs import log_to_file
from agents.protocol.envelope import session_id
from agents.protocol.identity import fingerprint
from agents.report import report_of
from agents.runner import SWITCH_INTERVAL, AgentRunner
from agents.spec import AgentSpec
from env.scene import Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.graph.judged_edges import FlagReader
from social_jepa.records import AgentStatus
from social_jepa.records import replace as replace_record
from social_jepa.records.peer import PeerStatus
from social_jepa.runtime.agent_status import Observations
from social_jepa.runtime.errors import AgentLostError
from social_jepa.runtime.failures import record_error
from social_jepa.runtime.ledger_writer import LedgerWriter
from social_jepa.runtime.logs import log_path
from social_jepa.runtime.member_errors import UnknownMemberError
from social_jepa.runtime.membership import Membership, record_start
from social_jepa.runtime.peer_connections import NetworkOptions, PeerConnections
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerUnavailableError
from social_jepa.storage.peer_status import DOWN, StatusWriter
from social_jepa.storage.run_folder import RunFolder
from social_jepa.system.process_identity import ProcessIdentity

POLL_SECONDS = 0.1  # between two looks at what the agent has done
STOP_SECONDS = 60.0  # in which the agent's thread should save and end


@dataclass(frozen=True)
class PeerOptions:
    """Which agent a peer is, and how it meets others.

    Attributes:
        name: Its name, one of those of the settings.
        network: How it meets others; its session separates groups with the same scene.
        online: Whether it keeps training after its schedule.
    """

    name: str
    network: NetworkOptions = field(default_factory=NetworkOptions)
    online: bool = False


class Peer:
    """One agent with its transport, its ledger and its thread.

    Attributes:
        connections: Its exchange with peers.
        unsaved: What could not be saved in the end, one sentence each.
    """

    def __init__(self, folder: RunFolder, options: PeerOptions) -> None:
        """Take the run folder, count an incarnation, and read the keys.

        Raises:
            UnknownMemberError: The settings have no agent of this name.
            RunFolderInUseError: Another process runs in the folder.
            LedgerError: The incarnation cannot be recorded: without it peers would refuse this process.
            KeyFileError, TrustFileError: A file of keys cannot be used.
            ConfigError: The settings name a topology other than all.
        """
        self._folder, self._options, self._config = folder, options, folder.config()
        if options.name not in self._config.names():
            raise UnknownMemberError(options.name, tuple(self._config.names()), False)
        if (topology := self._config.negotiation.topology) != "all":
            raise ConfigError(
                "a peer without Ray negotiates with every peer that it meets",
                "negotiation.topology", topology, "all",
            )  # fmt: skip
        self._lock = folder.acquire_lock()
        self._ledger = Ledger(folder.ledger_file, create=True)
        self._membership = Membership(self._config, folder, self._ledger, options.online)
        self._writer = LedgerWriter(self._config, folder, self._ledger)
        self._flags = FlagReader(self._ledger)
        started = bool(self._ledger.events_of("started"))
        record_start(self._ledger, self._config, folder, "resumed" if started else "started", options.online)
        incarnation = self._membership.next_incarnation(options.name)
        self._membership.record_incarnations()
        names = frozenset(self._config.names())
        self.connections = PeerConnections(
            options.name, incarnation, _session(self._config, options.network),
            options.network.of_agent(folder.agent(options.name), folder.path, self._config.seed),
            names.__contains__, "it is not among the agents of these settings: raise agents.count for all",
        )  # fmt: skip
        self._runner = AgentRunner(self.connections.protocol)
        self._seen = Observations()
        self._status, self._process = StatusWriter(folder.path), ProcessIdentity.of(os.getpid())
        self._acknowledged = (0, 0)
        self._device = ""
        self.unsaved: list[str] = []

    def run(self, observe: Callable[["Peer"], None] = lambda peer: None) -> None:
        """Train, publish and negotiate until KeyboardInterrupt; then save and end.

        Args:
            observe: Called after every look at the agent.

        Raises:
            AgentLostError: The agent failed.
            OSError: An address cannot be listened at.
        """
        sys.setswitchinterval(SWITCH_INTERVAL)
        log_to_file(str(log_path(self._folder.path, self._options.name)))
        spec = self._spec()
        thread = threading.Thread(target=self._runner.run, args=(spec,), daemon=True)
        try:
            self.connections.start()
            thread.start()
            self._watch(observe)
        finally:
            self._runner.stop()
            if thread.ident is not None:
                thread.join(STOP_SECONDS)
            while self._record():
                pass  # each report holds a part of what waits
            self.connections.close()
            self._status.write(replace_record(self.peer_status(), phase=DOWN, listens=()))
            self.unsaved = [f"{self._options.name} {each}" for each in self.status().unsaved]
            if not self._writer.event("stopped", reason="the process ended"):
                self.unsaved.append(f"{self._ledger.path} does not say that the peer has stopped")
            self._ledger.close()
            self._lock.release()

    def _spec(self) -> AgentSpec:
        spec = self._membership.spec(self._options.name, os.cpu_count() or 1)
        self._device = select_device(spec.device, torch.cuda.is_available())
        return replace(spec, device=self._device)

    def _watch(self, observe: Callable[["Peer"], None]) -> None:
        while True:
            self._record()
            if self._runner.failure is not None:
                raise AgentLostError(record_error(self._folder, self._runner.failure))
            self._status.write(self.peer_status())
            observe(self)
            self.connections.keep()
            time.sleep(POLL_SECONDS)

    def _record(self) -> bool:
        """Write what the agent has done to the ledger; what cannot be written is written later.

        Returns:
            Whether it was written, and more waits.
        """
        name = self._options.name
        known = self._writer.written_versions.get(name, "")
        report = report_of(
            self._runner, self.connections.protocol, *self._acknowledged, known, node="", device=self._device
        )
        self._seen.receive(name, report)
        try:
            self._writer.write(name, self._membership.members, report)
        except (LedgerUnavailableError, OSError) as error:
            self._seen.note_unrecorded(name, self._folder.agent(name), error)
            return False
        self._acknowledged = report.events.incarnation, report.events.last_number
        self._seen.unrecorded.pop(name, None)
        return report.events.more

    def status(self) -> AgentStatus:
        """Return the status of the agent."""
        name = self._options.name
        return self._seen.status(self._membership.get(name), self.connections.local.incarnation, "", "")

    def peer_status(self) -> PeerStatus:
        """Return the state of this agent and what it knows of its peers."""
        status, connections = self.status(), self.connections
        negotiation = connections.protocol.negotiation
        edges = dict(negotiation.edges) if negotiation else {}
        return PeerStatus(
            name=self._options.name, kind="agent", phase=status.phase, note=status.note,
            unsaved=status.unsaved, idle_seconds=float(int(status.idle_seconds)),
            idle_place=status.idle_place, fingerprint=fingerprint(connections.local.identity.public_key),
            incarnation=status.incarnation, process=self._process,
            listens=tuple(map(str, connections.transport.addresses)), checkpoint=status.checkpoint,
            anchor_seed=self._config.negotiation.public_seed,
            peers=connections.peers(edges, self._flags.reasons()),
            refused_addresses={str(reason): n for reason, n in connections.book.refusals.items()},
            updated_at=time.time(),
        )  # fmt: skip

    def settled(self) -> bool:
        """Return whether the edges with all agents of the settings are settled and recorded."""
        others = {*self._config.names()} - {self._options.name}
        protocol = self.connections.protocol
        return others <= protocol.peers and protocol.settled() and self._recorded_edges() >= others

    def _recorded_edges(self) -> set[str]:
        checkpoint = self._writer.written_versions.get(self._options.name, "")
        return {edge.source for edge, _ in self._ledger.edges() if edge.target_checkpoint == checkpoint}


def _session(config: RunConfig, network: NetworkOptions) -> bytes:
    """Return the session: peers whose anchors are of another scene have nothing to compare."""
    public = config.negotiation.public_seed
    scene = Scene(config.scene, config.seed if public is None else public)
    return session_id(f"{scene.fingerprint} {network.session}")

"""Write the reports of agents to the ledger; nothing written here ever reaches an agent."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from safetensors.torch import save

from agents.common.files import write_atomically
from agents.protocol.channel import SentMessage
from agents.protocol.edge import EdgeResult
from agents.report import AgentReport
from agents.snapshot import AgentSnapshot
from env.camera import Pose
from env.scene import Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.graph.anchor_file import ANCHORS, anchors_version
from social_jepa.graph.graph_json import agent_record, edge_record, pack_maps
from social_jepa.records import AgentRecord, EdgeRecord, MemberRecord
from social_jepa.records.base import HASH_PATTERN
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerUnavailableError
from social_jepa.storage.partners import partners_of
from social_jepa.storage.peer_keys import PeerKeys
from social_jepa.storage.proofs import EQUIVOCATION
from social_jepa.storage.reply_files import ReplyArchive
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import RunFolderError

logger = logging.getLogger(__name__)

Event = tuple[str, Mapping[str, Any]]
HASH = re.compile(HASH_PATTERN)  # of a checkpoint; a peer may send any other text


@dataclass
class _Rows:
    """What of one report is recorded.

    Attributes:
        name: The agent.
        published: Checkpoint of a model that it has published; empty: none.
    """

    name: str
    agents: list[AgentRecord] = field(default_factory=list)
    edges: list[EdgeRecord] = field(default_factory=list)
    messages: list[SentMessage] = field(default_factory=list)
    maps: dict[tuple[str, str], bytes] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    published: str = ""


class LedgerWriter:
    """Write reports to the ledger, each event once; any thread may call it.

    Attributes:
        written_versions: Checkpoint whose anchors are in the run folder, by agent.
        delayed: Events of the simulation that the ledger could not take yet.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, ledger: Ledger) -> None:
        """Continue after what the ledger holds."""
        self._folder, self._ledger, self._config = folder, ledger, config
        self._scene = Scene(config.scene, config.seed)
        self._replies = ReplyArchive(folder.path)
        proofs = ledger.events_of(EQUIVOCATION)
        self._proved = {(proof.details["agent"], proof.details["checkpoint"]) for proof in proofs}
        self.delayed: list[Event] = []
        written = {name: agent.checkpoint for name, agent in ledger.agents().items()}
        self.written_versions = {
            name: version for name, version in written.items() if self._has_anchors(name, version)
        }

    def _has_anchors(self, name: str, version: str) -> bool:
        try:
            return anchors_version(self._folder, name) == version
        except RunFolderError:
            return False

    def write(self, name: str, members: Mapping[str, MemberRecord], report: AgentReport) -> None:
        """Write one report in one transaction, after the anchors that it refers to.

        An edge whose source has left, or is no peer any more, is not written: its tombstone stays the newest.

        Raises:
            LedgerUnavailableError, OSError: The ledger or the anchors cannot be written now. Nothing of the
                report was written: call again with all that it holds.
        """
        with self._ledger.exclusive():
            self._record([self._rows_of(name, members, report, self._peers(members))])

    def write_all(
        self, reports: Mapping[str, AgentReport], members: Callable[[], Mapping[str, MemberRecord]]
    ) -> dict[str, Exception]:
        """Write reports as `write` does, all in one transaction, which takes hardly longer than that of one.

        Args:
            reports: A report of each agent, by name.
            members: Returns the members at the time of the call.

        Returns:
            The error of each agent whose report could not be written; it harms no other one.
        """
        failed: dict[str, Exception] = {}
        with self._ledger.exclusive():
            present = members()
            peers = self._peers(present)
            rows = []
            for name, report in reports.items():
                try:
                    if name in present:
                        rows.append(self._rows_of(name, present, report, peers))
                except Exception as error:  # also of what no agent of ours would send
                    failed[name] = error
            try:
                self._record(rows)
            except Exception as error:
                if len(rows) == 1 or isinstance(error, LedgerUnavailableError):
                    return failed | {each.name: error for each in rows}
                for each in rows:
                    failed |= self.write_all({each.name: reports[each.name]}, lambda: present)
        return failed

    def is_worth_writing(self, report: AgentReport) -> bool:
        """Return whether `write` would write anything of a report."""
        events = report.events
        return bool(report.snapshot or events.edges or events.sent or events.refused or self.delayed)

    def _peers(self, members: Mapping[str, MemberRecord]) -> Mapping[str, frozenset[str]]:
        """Return the peers of each member, in the topology that the ledger holds."""
        return partners_of(self._ledger.topology(self._config.negotiation.topology), members.values())

    def _rows_of(
        self, name: str, members: Mapping[str, MemberRecord], report: AgentReport,
        peers: Mapping[str, frozenset[str]],
    ) -> "_Rows":  # fmt: skip
        """Return the rows of a report, after writing its anchors."""
        found, snapshot = _Rows(name), report.snapshot
        if snapshot is not None and snapshot.pose_version != members[name].pose_version:
            snapshot = None  # of the view before a move that the agent has not heard of yet
        if snapshot is not None:
            save_anchors(self._folder, snapshot)
            pose, incarnation = Pose.parse(members[name].pose), report.events.incarnation
            found.agents.append(agent_record(snapshot, self._scene, pose, report.node, incarnation))
            found.events.append(self._published(name, report.checkpoint, snapshot.progress.drift))
            found.published = report.checkpoint
        settled = [result for result in report.events.edges if result.source in peers[name]]
        results = [result for result in settled if HASH.fullmatch(result.source_checkpoint)]
        unnamed = {result.source for result in settled} - {result.source for result in results}
        found.events += [event for result in results if (event := self._equivocation(result))]
        found.edges = [edge_record(result) for result in results]
        maps = {(result.source, result.target): pack_maps(result) for result in results}
        found.maps = {pair: data for pair, data in maps.items() if data is not None}
        found.messages = list(report.events.sent)
        found.events += [_settled(edge) for edge in found.edges]
        found.events += [_refused(name, reason) for reason in report.events.refused]
        found.events += [
            _refused(name, f"the model of {source} is named by no hash") for source in sorted(unnamed)
        ]
        return found

    def _record(self, rows: Sequence["_Rows"]) -> None:
        """Record rows in one transaction, and the delayed events with them."""
        agents, edges, messages, events = [], [], [], list[Event]()
        maps: dict[tuple[str, str], bytes] = {}
        for each in rows:
            agents += each.agents
            edges += each.edges
            messages += each.messages
            events += each.events
            maps |= each.maps
        if agents or messages or events or self.delayed:
            self._ledger.record(agents, edges, messages, maps, [*self.delayed, *events])
            self.delayed.clear()
        for event_type, details in events:
            _log(event_type, details)
            if event_type == EQUIVOCATION:
                self._proved.add((details["agent"], details["checkpoint"]))
        self.written_versions |= {each.name: each.published for each in rows if each.published}

    def event(self, event_type: str, **details: Any) -> bool:
        """Write an event of the simulation, with the next report if the ledger cannot be written now.

        Returns:
            Whether it was written.
        """
        with self._ledger.exclusive():
            self.delayed.append((event_type, details))
            try:
                self._ledger.record(events=self.delayed)
            except LedgerUnavailableError as error:
                logger.warning("the event %s is recorded later: %s", event_type, error)
                return False
            self.delayed.clear()
        return True

    def _equivocation(self, result: EdgeResult) -> Event | None:
        """Return the event that the source of an edge has contradicted itself, after writing the proof."""
        if (result.source, result.source_checkpoint) in self._proved:
            return None
        registered = PeerKeys(self._folder).get(result.source)
        if registered and registered != result.source_key:
            return None  # the target that reports this could have made it up with a key of its own
        return self._replies.compare(result)

    def _published(self, name: str, checkpoint: str, drift: float) -> Event:
        again = name in self.written_versions
        return "published", {"agent": name, "checkpoint": checkpoint, "republished": again, "drift": drift}


def _settled(edge: EdgeRecord) -> Event:
    keys = ("source", "target", "status", "reason", "r2_shared", "round")
    return "edge", {key: getattr(edge, key) for key in keys}


def _refused(name: str, reason: str) -> Event:
    return "message_refused", {"agent": name, "reason": reason}


def _log(event_type: str, details: Mapping[str, Any]) -> None:
    """Log an event of an agent once it is recorded."""
    match event_type:
        case "published":
            logger.info("%s published %s", details["agent"], details["checkpoint"])
            if details["republished"]:
                logger.info(
                    "edges of %s are stale: its model has drifted by %.3f", details["agent"], details["drift"]
                )
        case "edge":
            reason = f": {details['reason']}" if details["reason"] else ""
            logger.info(
                "edge %s > %s %s in round %d%s",
                details["source"], details["target"], details["status"], details["round"], reason,
            )  # fmt: skip
        case "equivocation":
            logger.warning(
                "%s embedded tick %d in two ways for %s: %s proves it",
                details["agent"], details["tick"], " and ".join(details["peers"]), details["file"],
            )  # fmt: skip
        case "message_refused":
            logger.warning("%s refused a message: %s", details["agent"], details["reason"])


def save_anchors(folder: RunFolder, snapshot: AgentSnapshot) -> None:
    """Write the anchor pools of a published model to the run folder, with its checkpoint hash."""
    data = save(snapshot.pools.tensors(), {"checkpoint": snapshot.peer_info.checkpoint})
    write_atomically(folder.agent(snapshot.peer_info.name) / ANCHORS, data)

"""Write the reports of agents to the ledger; nothing written here ever reaches an agent."""

import logging
from collections.abc import Mapping
from typing import Any

from safetensors.torch import save

from agents.common.files import write_atomically
from agents.report import AgentReport
from agents.snapshot import AgentSnapshot
from env.camera import Pose
from env.scene import Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.graph.graph_json import agent_record, edge_record, pack_maps
from social_jepa.graph.results import ANCHORS, anchors_version
from social_jepa.records import AgentRecord, EdgeRecord, MemberRecord
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, RunFolderError

logger = logging.getLogger(__name__)

Event = tuple[str, Mapping[str, Any]]


class LedgerWriter:
    """Write reports to the ledger, each event once.

    Attributes:
        written_versions: Checkpoint whose anchors are in the run folder, by agent.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, ledger: Ledger) -> None:
        """Continue after what the ledger holds."""
        self._folder, self._ledger = folder, ledger
        self._scene = Scene(config.scene, config.seed)
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

        An edge whose source has left is not written: its tombstone stays the newest.
        """
        agents: list[AgentRecord] = []
        events: list[Event] = []
        if report.snapshot is not None:
            save_anchors(self._folder, report.snapshot)
            pose, incarnation = Pose.parse(members[name].pose), report.events.incarnation
            agents.append(agent_record(report.snapshot, self._scene, pose, report.node, incarnation))
            events.append(self._published(name, report.checkpoint, report.snapshot.progress.drift))
        results = [result for result in report.events.edges if result.source in members]
        edges = [edge_record(result) for result in results]
        maps = {(result.source, result.target): pack_maps(result) for result in results}
        events += [_settled(edge) for edge in edges]
        events += [_refused(name, reason) for reason in report.events.refused]
        if agents or edges or report.events.sent or events:
            found = {pair: data for pair, data in maps.items() if data is not None}
            self._ledger.record(agents, edges, report.events.sent, found, events)
        if report.snapshot is not None:
            self.written_versions[name] = report.checkpoint

    def _published(self, name: str, checkpoint: str, drift: float) -> Event:
        again = name in self.written_versions
        logger.info("%s published %s", name, checkpoint)
        if again:
            logger.info("edges of %s are stale: its model has drifted by %.3f", name, drift)
        return "published", {"agent": name, "checkpoint": checkpoint, "republished": again, "drift": drift}


def _settled(edge: EdgeRecord) -> Event:
    reason = f": {edge.reason}" if edge.reason else ""
    logger.info("edge %s > %s %s in round %d%s", edge.source, edge.target, edge.status, edge.round, reason)
    keys = ("source", "target", "status", "reason", "r2_core", "round")
    return "edge", {key: getattr(edge, key) for key in keys}


def _refused(name: str, reason: str) -> Event:
    logger.warning("%s refused a message: %s", name, reason)
    return "message_refused", {"agent": name, "reason": reason}


def save_anchors(folder: RunFolder, snapshot: AgentSnapshot) -> None:
    """Write the anchor pools of a published model to the run folder, with its checkpoint hash."""
    data = save(snapshot.pools.tensors(), {"checkpoint": snapshot.peer_info.checkpoint})
    write_atomically(folder.agent(snapshot.peer_info.name) / ANCHORS, data)

"""From what agents report to what the ledger holds; nothing that is written here ever reaches an agent."""

from collections.abc import Mapping
from typing import Any

from safetensors.torch import save

from agents.files import write_atomically
from agents.report import AgentReport
from agents.snapshot import AgentSnapshot
from env.camera import Pose
from env.scene import Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.graph.graph_json import agent_record, edge_record, pack_maps
from social_jepa.graph.records import EdgeRecord, MemberRecord
from social_jepa.graph.results import ANCHORS, anchors_version
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, RunFolderError


class LedgerWriter:
    """Writes down what agents tell, each piece of news once."""

    def __init__(self, config: RunConfig, folder: RunFolder, ledger: Ledger) -> None:
        """Go on from what is written."""
        self._folder, self._ledger = folder, ledger
        self._scene = Scene(config.scene, config.seed)
        written = {name: agent.checkpoint for name, agent in ledger.agents().items()}
        # whose anchors are gone is asked for them again
        self.written_versions = {
            name: version for name, version in written.items() if self._keeps(name, version)
        }

    def _keeps(self, name: str, version: str) -> bool:
        try:
            return anchors_version(self._folder, name) == version
        except RunFolderError:
            return False

    def write(self, name: str, members: Mapping[str, MemberRecord], report: AgentReport) -> None:
        """Write one report in one transaction; the anchors first, so that what the ledger names is there.

        An edge whose source has left since is not written: its tombstone stands.
        """
        news, memory = report.events, report.snapshot
        settled = [edge for edge in news.edges if edge.source in members]
        agents, events = [], []
        if memory is not None:
            save_anchors(self._folder, memory)
            entry = agent_record(
                memory, self._scene, Pose.parse(members[name].pose), report.node, news.incarnation
            )
            agents.append(entry)
            again = name in self.written_versions
            events.append(
                (
                    "published",
                    {
                        "agent": name,
                        "checkpoint": report.checkpoint,
                        "republished": again,
                        "drift": memory.progress.drift,
                    },
                )
            )
        entries = [edge_record(edge) for edge in settled]
        maps = {(edge.source, edge.target): pack_maps(edge) for edge in settled}
        events += [("edge", _brief(entry)) for entry in entries]
        events += [("message_refused", {"agent": name, "reason": text}) for text in news.refused]
        if agents or entries or news.sent or events:
            found = {pair: data for pair, data in maps.items() if data is not None}
            self._ledger.record(agents, entries, news.sent, found, events)
        if memory is not None:
            self.written_versions[name] = report.checkpoint


def _brief(edge: EdgeRecord) -> dict[str, Any]:
    return {key: getattr(edge, key) for key in ("source", "target", "status", "reason", "r2_core", "round")}


def save_anchors(folder: RunFolder, memory: AgentSnapshot) -> None:
    """Write what an agent makes of the ticks that may be compared, with the version that made it."""
    data = save(memory.pools.tensors(), {"checkpoint": memory.peer_info.checkpoint})
    write_atomically(folder.agent(memory.peer_info.name) / ANCHORS, data)

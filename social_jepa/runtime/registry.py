"""Who is alive, in which life, and how to reach them. Nothing else: no embedding, map or weight passes."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents.config_error import ConfigError
from agents.spec import AgentSpec
from agents.training.settings import DRIFT_TICKS, GAP
from alignment.status import Status
from env.camera import Pose
from social_jepa.config.run_config import RunConfig
from social_jepa.graph.records import BodyRecord, MemberRecord, body_events
from social_jepa.graph.records import replace as replace_record
from social_jepa.runtime.membership import (
    MembershipError,
    find_member,
    initial_members,
    member_spec,
    write_pose,
)
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

LEAD_TICKS = (
    8192  # least ticks between where a camera has come to and a body that appears: time for all to hear of it
)


class Registry:
    """The roll of a simulation, kept in its ledger so that it outlives every process.

    Attributes:
        pending: Who is on the way and not yet here: nothing of it is written down.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, ledger: Ledger, online: bool) -> None:
        """Read who is there; the first time, write down who begins."""
        self.config, self.folder, self.online = config, folder, online
        self._ledger = ledger
        self.pending: dict[str, MemberRecord] = {}
        self.incarnations: dict[str, int] = {}
        self.number = time.time_ns()  # agents outlive the keeper, and drop what is older than they know
        if not ledger.names():
            first = initial_members(config)
            ledger.join(first, [BodyRecord(0, member.name, member.pose) for member in first])
        self._read()

    def _read(self) -> None:
        self.members = {member.name: member for member in self._ledger.members()}
        expected = {name: life for name, life in self.incarnations.items() if name in self.pending}
        self.incarnations = self._ledger.incarnations() | expected
        self.bodies: list[BodyRecord] = self._ledger.bodies()
        self.number += 1

    def taken_names(self) -> list[str]:
        """Return every name that anybody has or had, in the order of their numbers."""
        return [*self._ledger.names(), *self.pending]

    def spec(self, name: str, threads: int) -> AgentSpec:
        """Return what makes an agent, with a share of threads unless it asks for its own."""
        member = self.pending.get(name) or find_member(self.members.values(), name)
        spec = member_spec(self.config, member, self.bodies, self.folder, self.online)
        own = member.config(self.config).agents.threads
        return replace(spec, threads=own or threads)

    def next_incarnation(self, name: str) -> int:
        """Count one more life of an agent, and return its number."""
        if name in self.pending:
            self.incarnations[name] = self.incarnations.get(name, 0) + 1
        else:
            self.incarnations[name] = self._ledger.next_incarnation(name)
            self.number += 1
        return self.incarnations[name]

    def admit(self, name: str, next_tick: int) -> None:
        """Write a newcomer down; its body appears at a tick that no camera has come to."""
        member = self.pending.pop(name)
        life = self.incarnations[name]
        self._ledger.join([member], [BodyRecord(self._tick_after_all_rendered(next_tick), name, member.pose)])
        for _ in range(life):
            self._ledger.next_incarnation(name)
        self._read()

    def reject(self, name: str) -> None:
        """Forget a newcomer that could not come."""
        self.pending.pop(name, None)
        self.incarnations.pop(name, None)

    def move(self, name: str, pose: str, next_tick: int) -> MemberRecord:
        """Turn a camera to another view, and return the member as it is then.

        Raises:
            MembershipError, ValueError: Nobody has that name, or a camera cannot stand there.
        """
        found = Pose.parse(pose)
        member = find_member(self.members.values(), name)
        member.config(self.config).check_agent(name, member.kind, lambda: found)
        moved = replace_record(member, pose=write_pose(found), pose_version=member.pose_version + 1)
        self._ledger.change(
            moved, "moved", [BodyRecord(self._tick_after_all_rendered(next_tick), name, moved.pose)]
        )
        self._read()
        return moved

    def remove(self, name: str, next_tick: int) -> None:
        """Take somebody off the roll; the edges that touch it end with a tombstone.

        Raises:
            MembershipError: Nobody has that name, or nobody would be left.
        """
        member = find_member(self.members.values(), name)
        if len(self.members) == 1:
            raise MembershipError(f"{name} is the last agent: social-jepa down ends the simulation")
        ended = [
            replace_record(edge, status=Status.ENDED, reason=f"{name} left")
            for edge, _ in self._ledger.edges()
            if name in (edge.source, edge.target) and edge.status is not Status.ENDED
        ]
        body = [BodyRecord(self._tick_after_all_rendered(next_tick), name, None)]
        self._ledger.change(member, "left", body, ended, departed=True)
        self._read()

    def _tick_after_all_rendered(self, next_tick: int) -> int:
        """Return a tick beyond all that is drawn before everybody has heard."""
        calibration = max(m.config(self.config).training.core_eval_ticks for m in self.members.values())
        drift = DRIFT_TICKS * self.config.negotiation.pool_stride
        return (
            next_tick
            + LEAD_TICKS
            + max(GAP, self.config.scene.decorrelation_ticks)
            + max(4 * calibration, drift)
        )

    def peer_list(self, handles: Mapping[str, Any]) -> dict[str, Any]:
        """Return what every agent is told: who is there and how to reach them."""
        present = [name for name in self.members if name in handles and self.incarnations[name]]
        return {
            "version": self.number,
            "handles": {name: handles[name] for name in present},
            "incarnations": {name: self.incarnations[name] for name in present},
            "body_events": body_events(self.bodies),
        }


def record_start(ledger: Ledger, config: RunConfig, folder: RunFolder, what: str, online: bool) -> None:
    """Note the start, unless it began with other settings: its agents cannot go on then."""
    earlier = [event.details["config"] for event in ledger.events_of("started")]
    if earlier and earlier[-1] != config.hash():
        raise ConfigError(
            f"{folder.config_file} is not what this run began with: put it back, or start a new run"
        )
    ledger.event(what, config=config.hash(), online=online)

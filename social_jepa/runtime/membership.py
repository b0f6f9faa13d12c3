"""Membership of a simulation: which agents are present, in which incarnation, and what each is built from.

No latent, embedding, map or weight passes through here.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agents.common.config_error import ConfigError
from agents.common.files import write_atomically
from agents.protocol.peer_list import PeerList
from agents.protocol.topology import Topology
from agents.protocol.verifier import KnownPeer
from agents.spec import AgentSpec
from agents.training.settings import DRIFT_TICKS
from agents.training.ticks import range_gap
from env.camera import Pose
from env.scene import Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.records import BodyRecord, MemberRecord
from social_jepa.records import replace as replace_record
from social_jepa.runtime.errors import NoCheckpointsError
from social_jepa.runtime.member_errors import LastAgentError
from social_jepa.runtime.members import (
    check_member,
    find_member,
    initial_members,
    member_spec,
    new_member,
    seen_bodies,
)
from social_jepa.runtime.pairings import ChangedEdges, change_pairs, end_edges, hold_again, record_topology
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerUnavailableError
from social_jepa.storage.partners import negotiating_pairs, partners_of
from social_jepa.storage.peer_keys import PeerKeys
from social_jepa.storage.run_folder import RunFolder

LEAD_TICKS = 8192  # least ticks between the newest rendered tick and a body event, so that agents hear of it
VERSIONS = 2**40  # of peer lists, more than one supervisor ever makes
PAUSED, CONTINUED = "paused", "continued"  # events of an agent whose training waits, and goes on


def first_version(folder: RunFolder) -> int:
    """Return a version of peer lists above those of earlier supervisors, though the clock was set back.

    It is kept in the folder. A supervisor counts up by one with each change, fewer than VERSIONS of them.
    """
    earlier = 0
    with contextlib.suppress(OSError, ValueError):
        earlier = int(folder.version_file.read_text(encoding="utf-8"))
    version = max(time.time_ns(), earlier + VERSIONS)
    with contextlib.suppress(OSError):  # a full disk: then the clock decides at the next start
        write_atomically(folder.version_file, str(version).encode())
    return version


class Membership:
    """Members of a simulation, stored in its ledger so that they outlive every process.

    Attributes:
        members: Present members by name, by index.
        pending: Joiners that have not reported yet; the ledger holds nothing of them.
        incarnations: Newest incarnation of every member and joiner.
        bodies: All body events so far.
        paused: Members whose training waits until it is resumed.
        topology: Which pairs of members negotiate.
        version: Goes up with every change, also across restarts of the supervisor: agents outlive it, and
            ignore a peer list that is older than theirs.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, ledger: Ledger, online: bool) -> None:
        """Read the members from the ledger; a new ledger gets the initial ones."""
        self.config, self.folder, self.online = config, folder, online
        self._ledger = ledger
        self.pending: dict[str, MemberRecord] = {}
        self.incarnations: dict[str, int] = {}
        self._keys = PeerKeys(folder)
        self._partners: tuple[int, dict[str, Mapping[str, frozenset[str]]]] = (0, {})  # of one version
        # Incarnations that the ledger does not hold yet, by name: why each was started.
        self._uncounted: dict[str, list[str]] = {}
        self.version = first_version(folder)
        if not ledger.names():
            first = initial_members(config)
            ledger.join(first, [BodyRecord(0, member.name, member.pose) for member in first])
        self._read()
        hold_again(ledger, negotiating_pairs(self.topology, self.members.values()))

    def _read(self) -> None:
        self.members = {member.name: member for member in self._ledger.members()}
        of_joiners = {name: number for name, number in self.incarnations.items() if name in self.pending}
        self.incarnations = self._ledger.incarnations() | of_joiners
        for name, reasons in self._uncounted.items():
            self.incarnations[name] = self.incarnations.get(name, 0) + len(reasons)
        self.bodies: list[BodyRecord] = self._ledger.bodies()
        self._seen_bodies = seen_bodies(self.config, self.bodies)  # in the peer list of every agent
        newest = {event.details["agent"]: event.type for event in self._ledger.events_of(PAUSED, CONTINUED)}
        self.paused = {name for name in self.members if newest.get(name) == PAUSED}
        self.topology = self._ledger.topology(self.config.negotiation.topology)
        self.version += 1

    def get(self, name: str) -> MemberRecord:
        """Return a member or joiner.

        Raises:
            UnknownMemberError: There is none of that name.
        """
        return self.pending.get(name) or self._member(name)

    def _member(self, name: str) -> MemberRecord:
        if name in self.members:  # the status of all of them needs no ledger
            return self.members[name]
        return find_member(self.members.values(), name, self._ledger.names())

    def spec(self, name: str, threads: int) -> AgentSpec:
        """Return the specification of an agent; `threads` applies unless the agent has its own number."""
        member = self.get(name)
        spec = member_spec(self.config, member, self.bodies, self.folder, self.online)
        own_threads = member.config(self.config).agents.threads
        return replace(spec, threads=own_threads or threads, paused=name in self.paused)

    def actor(self, name: str) -> str:
        """Return Ray's name of the actor that a member or joiner lives in."""
        return self.get(name).actor_name

    def gpus(self, name: str) -> float:
        """Return the GPUs that an agent reserves; 0: those of every agent."""
        return self.get(name).config(self.config).agents.gpus

    def registered(self, handles: Mapping[str, Any]) -> dict[str, KnownPeer]:
        """Return every member that has registered, has a public key and has a handle."""
        present = [name for name in handles if name in self.members]
        keys = {name: key for name in present if (key := self._keys.get(name))}
        return {
            name: KnownPeer(key, self.incarnations[name])
            for name, key in keys.items()
            if self.incarnations[name]
        }

    def _partners_of(self, name: str) -> frozenset[str]:
        """Return whom an agent negotiates with or learns from; worked out once for all members."""
        joiner = name if name in self.pending else ""
        if self._partners[0] != self.version:
            self._partners = self.version, {}
        known = self._partners[1]
        if joiner not in known:
            joining = [self.pending[joiner]] if joiner else []
            members = sorted([*self.members.values(), *joining], key=lambda member: member.index)
            known[joiner] = partners_of(self.topology, members)
        return known[joiner].get(name, frozenset())

    def peer_list(self, handles: Mapping[str, Any], name: str) -> PeerList:
        """Return the peer list of an agent: those of `registered` that it negotiates with or learns from."""
        partners = self._partners_of(name)
        peers = self.registered({peer: handles[peer] for peer in partners if peer in handles})
        return PeerList(
            version=self.version,
            handles={peer: handles[peer] for peer in peers},
            peers=peers,
            session=self.session,
            body_events=self._seen_bodies,
        )

    @property
    def session(self) -> bytes:
        """The 16 bytes of the run, which every envelope carries."""
        return self._keys.session

    def set_public_key(self, name: str, public_key: bytes) -> bool:
        """Take the public key of the newest process of a member or joiner; return whether it is another."""
        if self._keys.get(name) == public_key:
            return False
        self._keys.set(name, public_key)
        self.version += 1
        return True

    def next_incarnation(self, name: str, reason: str = "") -> int:
        """Count one more incarnation of an agent, and return its number.

        An agent starts also while the ledger cannot be written: see `record_incarnations`.

        Args:
            name: The agent.
            reason: How its process before this one ended; empty: unknown.
        """
        self.incarnations[name] = self.incarnations.get(name, 0) + 1
        if name not in self.pending:
            self._uncounted.setdefault(name, []).append(reason)
            self.version += 1
            with contextlib.suppress(LedgerUnavailableError):
                self.record_incarnations()
        return self.incarnations[name]

    def record_incarnations(self) -> None:
        """Record the incarnations that the ledger could not take yet.

        Raises:
            LedgerUnavailableError: It still cannot be written.
        """
        for name in list(self._uncounted):
            while self._uncounted[name]:
                self._ledger.next_incarnation(name, self._uncounted[name][0])
                del self._uncounted[name][0]
            del self._uncounted[name]

    def propose(self, **request: Any) -> MemberRecord:
        """Add a joiner to `pending` and return it; for the arguments and errors see `new_member`."""
        present = [*self.members.values(), *self.pending.values()]
        taken = [*self._ledger.names(), *self.pending]
        number = self._ledger.next_number()
        member = new_member(self.config, present, taken, number=number, **request)
        self.pending[member.name] = member
        return member

    def admit(self, name: str, next_tick: int) -> None:
        """Record a joiner as a member; its body appears at a tick that no camera has rendered.

        Args:
            name: Name of the joiner.
            next_tick: First tick that no camera has rendered.

        Raises:
            LedgerUnavailableError: The ledger cannot be written now; it is still a joiner.
        """
        member = self.pending[name]
        body = BodyRecord(self._body_tick(next_tick), name, member.pose)
        with self._ledger.exclusive():
            changed = self._changed([*self.members.values(), member], f"{name} joined")
            self._ledger.join([member], [body], self.incarnations[name], changed.edges, changed.maps)
            del self.pending[name]
            self._read()

    def reject(self, name: str) -> None:
        """Drop a joiner."""
        self.pending.pop(name, None)
        self.incarnations.pop(name, None)

    def move(self, name: str, pose: str, next_tick: int) -> MemberRecord:
        """Move a member's camera and body, and return the changed member; for `next_tick` see `admit`.

        Raises:
            UnknownMemberError: There is none of that name.
            ConfigError, ValueError: The pose is malformed, or the agent's kind of model cannot work there.
        """
        found = Pose.parse(pose)
        member = self._member(name)
        check_member(self.config, member, found)
        moved = replace_record(member, pose=str(found), pose_version=member.pose_version + 1)
        with self._ledger.exclusive():
            self._ledger.change(moved, "moved", [BodyRecord(self._body_tick(next_tick), name, moved.pose)])
            self._read()
        return moved

    def pause(self, name: str, paused: bool) -> list[str]:
        """Record that training of a member, or of all, waits or continues; return whose state changes.

        Args:
            name: The member; "": all of them.
            paused: Whether training waits.

        Raises:
            UnknownMemberError: There is none of that name.
        """
        names = [self._member(name).name] if name else list(self.members)
        changed = [each for each in names if (each in self.paused) is not paused]
        event = PAUSED if paused else CONTINUED
        if changed:  # all of them or none, if the ledger cannot be written
            self._ledger.record(events=[(event, {"agent": each}) for each in changed])
        self._read()
        return changed

    def set_topology(self, text: str) -> int:
        """Record which pairs of members negotiate from now on; return the number of their edges.

        The edges of other pairs end with a tombstone; those of pairs that negotiate again hold again
        where both have the models that they had.

        Raises:
            ValueError: It names no topology.
        """
        topology = Topology.parse(text)
        with self._ledger.exclusive():
            record_topology(self._ledger, self.topology, topology, self.members.values())
            self._read()
        return len(negotiating_pairs(topology, self.members.values()))

    def _changed(self, members: Sequence[MemberRecord], reason: str) -> ChangedEdges:
        """Return the edges between present members that end, or hold again, where these are all members."""
        before = negotiating_pairs(self.topology, self.members.values())
        members = sorted(members, key=lambda member: member.index)
        lasting = self.members.keys() & {member.name for member in members}
        after = negotiating_pairs(self.topology, members)
        parted, paired = (
            {pair for pair in each if lasting.issuperset(pair)} for each in (before - after, after - before)
        )
        reason = f"the topology {self.topology} pairs others since {reason}"
        return change_pairs(self._ledger, parted, paired, reason)

    def remove(self, name: str, next_tick: int) -> None:
        """Remove a member; its edges end with a tombstone. For `next_tick` see `admit`.

        Raises:
            UnknownMemberError: There is none of that name.
            LastAgentError: It is the only one.
        """
        member = self._member(name)
        if len(self.members) == 1:
            raise LastAgentError(name)
        body = [BodyRecord(self._body_tick(next_tick), name, None)]
        with self._ledger.exclusive():  # no edge may be recorded after its tombstone
            own = (edge for edge, _ in self._ledger.edges() if name in (edge.source, edge.target))
            others = [other for other in self.members.values() if other != member]
            changed = self._changed(others, f"{name} left")
            edges = [*end_edges(own, f"{name} left"), *changed.edges]
            self._ledger.change(member, "left", body, edges, changed.maps, departed=True)
            self._read()

    def _body_tick(self, next_tick: int) -> int:
        """Return a tick that no agent renders before it has received the body event."""
        core_eval_ticks = max(
            member.config(self.config).training.core_eval_ticks for member in self.members.values()
        )
        memory = self.config.scene.decorrelation_ticks
        stride = max(4, self.config.negotiation.stride(memory))
        return next_tick + LEAD_TICKS + range_gap(memory) + stride * max(core_eval_ticks, DRIFT_TICKS)


def check_checkpoints(ledger: Ledger, folder: RunFolder) -> None:
    """Raise NoCheckpointsError for a run whose agents have published models and saved no checkpoint."""
    if not folder.has_checkpoints(ledger):
        raise NoCheckpointsError(folder.path)


def record_start(
    ledger: Ledger, config: RunConfig, folder: RunFolder, event_type: str, online: bool, scene: str = ""
) -> None:
    """Record that a run started or resumed.

    Args:
        ledger: Its ledger.
        config: Its settings.
        folder: Its folder.
        event_type: "started" or "resumed".
        online: Whether it is a simulation that stays up.
        scene: Fingerprint of its scene, so that the graph can be read where the scene cannot be built; by
            default that of the scene of the settings.

    Raises:
        NoCheckpointsError: It is to be resumed, and its agents have published models and saved nothing.
        ConfigError: It started with other settings, and its agents cannot continue with these.
    """
    if event_type == "resumed":
        check_checkpoints(ledger, folder)
    earlier = [event.details["config"] for event in ledger.events_of("started")]
    if earlier and earlier[-1] != config.hash():
        raise ConfigError(
            f"{folder.config_file} differs from the settings that this run started with",
            suggestion="restore it, or start a new run",
        )
    known = scene or Scene(config.scene, config.seed).fingerprint
    ledger.event(event_type, config=config.hash(), online=online, scene=known)

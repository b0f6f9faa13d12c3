"""Membership of a simulation: which agents are present, in which incarnation, and what each is built from.

No latent, embedding, map or weight passes through here.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agents.common.config_error import ConfigError
from agents.common.names import is_name
from agents.models.settings import FROZEN, check_kind
from agents.protocol.peer_list import PeerList
from agents.protocol.topology import Topology
from agents.protocol.verifier import KnownPeer
from agents.spec import AgentSpec
from agents.training.settings import DRIFT_TICKS, GAP
from alignment.status import Status
from env.camera import Pose
from env.scene import BodyEvent, Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.records import BodyRecord, EdgeRecord, MemberRecord, body_events
from social_jepa.records import replace as replace_record
from social_jepa.runtime.errors import (
    InvalidNameError,
    LastAgentError,
    NameTakenError,
    UnknownMemberError,
)
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerUnavailableError
from social_jepa.storage.partners import negotiating_pairs, partners_of
from social_jepa.storage.peer_keys import PeerKeys
from social_jepa.storage.run_folder import RunFolder

LEAD_TICKS = 8192  # least ticks between the newest rendered tick and a body event, so that agents hear of it
PAUSED, CONTINUED = "paused", "continued"  # events of an agent whose training waits, and goes on
RESERVED = ("supervisor", "best", "universe")  # it has a log file, and words that stand for agents on a path
PER_AGENT_SETTINGS = (
    "agents.device", "agents.gpus", "agents.threads", "model.", "training.", "distillation.",
)  # fmt: skip


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
        self.version = time.time_ns()
        if not ledger.names():
            first = initial_members(config)
            ledger.join(first, [BodyRecord(0, member.name, member.pose) for member in first])
        self._read()

    def _read(self) -> None:
        self.members = {member.name: member for member in self._ledger.members()}
        of_joiners = {name: number for name, number in self.incarnations.items() if name in self.pending}
        self.incarnations = self._ledger.incarnations() | of_joiners
        for name, reasons in self._uncounted.items():
            self.incarnations[name] = self.incarnations.get(name, 0) + len(reasons)
        self.bodies: list[BodyRecord] = self._ledger.bodies()
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
            body_events=seen_bodies(self.config, self.bodies),
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
            ended = self._unpaired([*self.members.values(), member], f"{name} joined")
            self._ledger.join([member], [body], self.incarnations[name], ended)
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
        _check_joiner(self.config, member, found)
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

        The edges of other pairs end with a tombstone.

        Raises:
            ValueError: It names no topology.
        """
        topology = Topology.parse(text)
        pairs = negotiating_pairs(topology, self.members.values())
        with self._ledger.exclusive():
            ended = self._ended(
                lambda edge: (edge.source, edge.target) not in pairs, f"the topology is {topology} now"
            )
            self._ledger.record(edges=ended, events=[("topology", {"topology": str(topology)})])
            self._read()
        return len(pairs)

    def _unpaired(self, members: Sequence[MemberRecord], reason: str) -> list[EdgeRecord]:
        """Return the ends of the edges of pairs that negotiate now, and not where these are all members."""
        before = negotiating_pairs(self.topology, self.members.values())
        members = sorted(members, key=lambda member: member.index)
        names = {member.name for member in members}
        lost = {pair for pair in before - negotiating_pairs(self.topology, members) if names.issuperset(pair)}
        reason = f"the topology {self.topology} pairs others since {reason}"
        newest = [found[-1] for pair in sorted(lost) if (found := self._ledger.history(*pair))]
        return _ends(newest, reason)

    def _ended(self, does_end: Callable[[EdgeRecord], bool], reason: str) -> list[EdgeRecord]:
        return _ends((edge for edge, _ in self._ledger.edges() if does_end(edge)), reason)

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
            ended = self._ended(lambda edge: name in (edge.source, edge.target), f"{name} left")
            ended += self._unpaired(
                [other for other in self.members.values() if other != member], f"{name} left"
            )
            self._ledger.change(member, "left", body, ended, departed=True)
            self._read()

    def _body_tick(self, next_tick: int) -> int:
        """Return a tick that no agent renders before it has received the body event."""
        core_eval_ticks = max(
            member.config(self.config).training.core_eval_ticks for member in self.members.values()
        )
        memory = self.config.scene.decorrelation_ticks
        stride = max(4, self.config.negotiation.stride(memory))
        return next_tick + LEAD_TICKS + max(GAP, memory) + stride * max(core_eval_ticks, DRIFT_TICKS)


def _ends(edges: Iterable[EdgeRecord], reason: str) -> list[EdgeRecord]:
    """Return the tombstones of those of some edges that have none."""
    return [
        replace_record(edge, status=Status.ENDED, reason=reason)
        for edge in edges
        if edge.status is not Status.ENDED
    ]


def initial_members(config: RunConfig) -> list[MemberRecord]:
    """Return the members that a run starts with."""
    return [
        MemberRecord(
            name=name, index=index, pose=str(config.pose(index)), kind=config.kind(index),
            actor=index // config.agents.per_actor,
        )
        for index, name in enumerate(config.names())
    ]  # fmt: skip


def new_member(
    config: RunConfig, present: Sequence[MemberRecord], taken: Sequence[str], *, name: str = "",
    pose: str = "", kind: str = "", settings: Iterable[str] = (), teacher: str = "", number: int = 0,
) -> MemberRecord:  # fmt: skip
    """Return the record of a joiner.

    Args:
        config: Settings of the simulation.
        present: Members and joiners.
        taken: Every name given so far, by index.
        name: Name; default: "agent-" and the next free number.
        pose: "x,y,z,yaw,pitch[,fov]" or "view=NUMBER"; default: the next place on the ring, or view.
        kind: Kind of world model; default: that of the other agents.
        settings: Settings of this agent alone, "key.sub=value".
        teacher: Peer that it distills from first; empty: none.
        number: Least index, where those of members that have left have gaps.

    Raises:
        MembershipError: The name, the teacher or the number of agents is not allowed.
        ConfigError, ValueError: The pose, the kind or a setting cannot work.
    """
    index = max([number, len(taken), *(member.index + 1 for member in present)])
    name = name or next(n for k in range(index, 2 * index + 2) if (n := f"agent-{k}") not in taken)
    _check_name(name, present, taken)
    if teacher:
        find_member(present, teacher, taken)
    settings = tuple(settings)
    _check_settings(settings)
    found = Pose.parse(pose) if pose else config.default_pose(index)
    Scene(config.scene, config.seed).check_pose(found)
    kind = kind or config.agents.common_kind
    check_kind(kind)
    if teacher and kind.startswith(FROZEN):
        raise ConfigError("a frozen encoder does not learn from a teacher", "kind", kind, "name no teacher")
    member = MemberRecord(
        name=name, index=index, pose=str(found), kind=kind, settings=settings, teacher=teacher
    )
    _check_joiner(config, member, found)
    return replace_record(member, actor=_choose_actor(config, present, member))


def _choose_actor(config: RunConfig, present: Iterable[MemberRecord], joiner: MemberRecord) -> int:
    """Return the number of an actor with room for a joiner, else that of a new one.

    Agents share an actor only where they reserve and use the same CPUs and GPUs.
    """
    wanted, taken = joiner.config(config).agents, defaultdict[str, list[MemberRecord]](list)
    for member in present:
        taken[member.actor_name].append(member)
    for members in taken.values():
        like_it = members[0].config(config).agents == wanted
        if like_it and len(members) < config.agents.per_actor and members[0].actor is not None:
            return members[0].actor
    return joiner.index  # never that of another actor, whose name Ray may still know


def _check_joiner(config: RunConfig, member: MemberRecord, pose: Pose) -> None:
    """Raise ConfigError unless an agent with these settings of its own can work in the simulation."""
    own = member.config(config)
    if config.training.own_ticks and own.stretch_ticks > config.stretch_ticks:
        raise ConfigError(
            f"{member.name} would train on ticks of the next agent: with training.own_ticks its own settings "
            f"must not need more ticks than those of the simulation, {own.stretch_ticks:,} instead of "
            f"{config.stretch_ticks:,}"
        )
    offset = config.train_offset(member.index, member.teacher)
    own.check_agent(member.name, member.kind, lambda: pose, offset)


def _check_name(name: str, present: Iterable[MemberRecord], taken: Iterable[str]) -> None:
    if not is_name(name) or not name.strip("."):  # it is the name of a folder, too
        raise InvalidNameError(name)
    if name in RESERVED:
        raise InvalidNameError(name, True)
    if name in taken:
        raise NameTakenError(name, name in [member.name for member in present])


def _check_settings(settings: Iterable[str]) -> None:
    for text in settings:
        if not text.startswith(PER_AGENT_SETTINGS) or text.startswith("training.own_ticks"):
            raise ConfigError(
                "must be the same for all agents",
                text.partition("=")[0],
                suggestion=f"one agent alone can have its own {', '.join(PER_AGENT_SETTINGS)}",
            )


def find_member(present: Iterable[MemberRecord], name: str, taken: Iterable[str] = ()) -> MemberRecord:
    """Return the member of a name.

    Args:
        present: Members and joiners.
        name: The name.
        taken: Every name given so far.

    Raises:
        UnknownMemberError: There is none.
    """
    known = {member.name: member for member in present}
    if name not in known:
        raise UnknownMemberError(name, tuple(known), name in taken)
    return known[name]


def seen_bodies(config: RunConfig, bodies: Iterable[BodyRecord]) -> tuple[BodyEvent, ...]:
    """Return when which bodies appear in the frames of cameras: never in a scene without bodies."""
    return body_events(bodies) if config.scene.bodies else ()


def member_spec(
    config: RunConfig, member: MemberRecord, bodies: Iterable[BodyRecord], folder: RunFolder,
    online: bool = False,
) -> AgentSpec:  # fmt: skip
    """Return the specification of a member's agent; of other members it depends on their bodies alone."""
    own = member.config(config)
    return AgentSpec(
        name=member.name,
        index=member.index,
        seed=config.seed,
        kind=member.kind,
        pose=Pose.parse(member.pose),
        scene=config.scene,
        events=seen_bodies(config, bodies),
        model=own.model,
        training=own.training,
        negotiation=config.negotiation,
        folder=str(folder.agent(member.name)),
        device=own.agents.device,
        threads=max(1, own.agents.threads),
        distillation=own.distillation,
        pose_version=member.pose_version,
        teacher=member.teacher,
        online=online,
        train_offset=config.train_offset(member.index, member.teacher),
    )


def record_start(ledger: Ledger, config: RunConfig, folder: RunFolder, event_type: str, online: bool) -> None:
    """Record that a run started or resumed.

    Raises:
        ConfigError: It started with other settings, and its agents cannot continue with these.
    """
    earlier = [event.details["config"] for event in ledger.events_of("started")]
    if earlier and earlier[-1] != config.hash():
        raise ConfigError(
            f"{folder.config_file} differs from the settings that this run started with",
            suggestion="restore it, or start a new run",
        )
    ledger.event(event_type, config=config.hash(), online=online)

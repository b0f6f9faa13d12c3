"""Who takes part: members, and what makes the agent that each of them is."""

import difflib
import re
from collections.abc import Iterable, Sequence

from agents.config_error import ConfigError
from agents.models.settings import check_kind
from agents.spec import AgentSpec
from env.camera import Pose, ring_pose
from env.scene import Scene
from social_jepa.config.run_config import MAX_AGENTS, RunConfig
from social_jepa.graph.records import BodyRecord, MemberRecord, body_events
from social_jepa.storage.run_folder import RunFolder

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
RESERVED = ("supervisor", "best", "universe")  # another actor, and words in place of agents to go through
PER_AGENT_SETTINGS = (
    "agents.device",
    "agents.gpus",
    "agents.threads",
    "model.",
    "training.",
    "distillation.",
)


class MembershipError(ValueError):
    """Somebody cannot come, move or go; the text says why and what to do."""


class UnknownMemberError(MembershipError):
    """Nobody has that name."""


def write_pose(pose: Pose) -> str:
    """Return a pose as ``x,y,z,yaw,pitch,fov``, exactly."""
    return ",".join(repr(number) for number in (pose.x, pose.y, pose.z, pose.yaw, pose.pitch, pose.fov))


def initial_members(config: RunConfig) -> list[MemberRecord]:
    """Return who is there from the beginning."""
    return [
        MemberRecord(name=name, index=index, pose=write_pose(config.pose(index)), kind=config.kind(index))
        for index, name in enumerate(config.names())
    ]


def new_member(
    config: RunConfig, present: Sequence[MemberRecord], taken: Sequence[str], *, name: str = "",
    pose: str = "", kind: str = "", settings: Iterable[str] = (), teacher: str = "",
) -> MemberRecord:  # fmt: skip
    """Return a new member.

    Args:
        config: The settings of the simulation.
        present: Who is there.
        taken: Every name that anybody ever had, in the order of their numbers.
        name: By default "agent-" and a number that is free.
        pose: "x,y,z,yaw,pitch[,fov]"; by default the next place on the ring.
        kind: Kind of world model; by default that of the others.
        settings: What it has otherwise than the others, "key.sub=value".
        teacher: Peer that it learns from first; empty when it learns alone.

    Raises:
        MembershipError, ConfigError, ValueError: It cannot come; the text says why.
    """
    index = max([len(taken), *(member.index + 1 for member in present)])
    name = name or next(n for k in range(index, 2 * index + 2) if (n := f"agent-{k}") not in taken)
    _check_name(name, present, taken)
    if len(present) >= MAX_AGENTS:
        raise MembershipError(
            f"{len(present)} agents are there, and no more than {MAX_AGENTS} fit: remove one"
        )
    if teacher:
        find_member(present, teacher)
    settings = tuple(settings)
    _check_own(settings)
    found = Pose.parse(pose) if pose else ring_pose(index, config.agents.ring)
    Scene(config.scene, config.seed).check_pose(found)
    kind = kind or config.agents.common_kind
    member = MemberRecord(
        name=name, index=index, pose=write_pose(found), kind=kind, settings=settings, teacher=teacher
    )
    check_kind(member.kind)
    member.config(config).check_agent(name, member.kind, lambda: found)
    return member


def _check_name(name: str, present: Iterable[MemberRecord], taken: Iterable[str]) -> None:
    if not NAME.fullmatch(name) or not name.strip("."):  # a folder is called so
        raise MembershipError(f"{name!r} is no name: up to 64 letters, digits, dots, dashes and underscores")
    if name in RESERVED:
        raise MembershipError(f"{name} is the name of another part of every simulation: choose another")
    if name in taken:
        here = name in [member.name for member in present]
        raise MembershipError(
            f"the name {name} {'exists' if here else 'was taken before, and its edges are in the ledger'}: "
            "choose another, or leave it out and one is found"
        )


def _check_own(settings: Iterable[str]) -> None:
    for text in settings:
        if not text.startswith(PER_AGENT_SETTINGS):
            raise ConfigError(
                f"{text!r}: an agent can have its own {', '.join(PER_AGENT_SETTINGS)}; "
                "what makes the scene or the negotiation is everybody's"
            )


def find_member(present: Iterable[MemberRecord], name: str) -> MemberRecord:
    """Return the member of a name.

    Raises:
        UnknownMemberError: There is none; the nearest name is named.
    """
    known = {member.name: member for member in present}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UnknownMemberError(f"no agent is named {name!r}: {hint}")
    return known[name]


def member_spec(
    config: RunConfig, member: MemberRecord, bodies: Iterable[BodyRecord], folder: RunFolder,
    online: bool = False,
) -> AgentSpec:  # fmt: skip
    """Return what makes a member's agent; it never depends on who else is there, bodies aside."""
    own = member.config(config)
    return AgentSpec(
        name=member.name,
        index=member.index,
        seed=config.seed,
        kind=member.kind,
        pose=Pose.parse(member.pose),
        scene=config.scene,
        events=body_events(bodies),
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
    )

"""What a member of a simulation is: the first ones, a joiner and what it may ask for, its settings."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from agents.common.config_error import ConfigError
from agents.common.names import is_name
from agents.models.settings import FROZEN, check_kind
from agents.spec import AgentSpec
from env.camera import Pose
from env.scene import BodyEvent, Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.records import BodyRecord, MemberRecord, body_events
from social_jepa.records import replace as replace_record
from social_jepa.runtime.member_errors import InvalidNameError, NameTakenError, UnknownMemberError
from social_jepa.storage.run_folder import RunFolder

RESERVED = ("supervisor", "best", "universe")  # it has a log file, and words that stand for agents on a path
PER_AGENT_SETTINGS = (
    "agents.device", "agents.gpus", "agents.threads", "model.", "training.", "distillation.",
)  # fmt: skip


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
    check_member(config, member, found)
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


def check_member(config: RunConfig, member: MemberRecord, pose: Pose) -> None:
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

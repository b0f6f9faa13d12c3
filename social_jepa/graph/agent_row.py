"""One agent as a row of single values: of the table of agents, and of the graph's nodes."""

from typing import Any, Final

from env.camera import Pose
from social_jepa.records import AgentRecord, MemberRecord, PoseRecord, as_dict

Row = dict[str, Any]
# Of a published model; None in the row of an agent that has not published one of its view.
PUBLISHED: Final = (
    "device", "node", "dim", "core_dim", "probe_r2", "collapsed", "effective_rank", "steps", "frames",
    "frames_per_s", "checkpoint", "incarnation",
)  # fmt: skip


def agent_row(member: MemberRecord, published: AgentRecord | None) -> Row:
    """Return name, state, kind, pose and published values of an agent."""
    return {
        "name": member.name,
        "state": "training" if published is None else "published",
        "kind": member.kind,
        **as_dict(PoseRecord.of(Pose.parse(member.pose))),
        "pose_version": member.pose_version,
        "teacher": member.teacher,
        **{key: getattr(published, key, None) for key in PUBLISHED},
    }

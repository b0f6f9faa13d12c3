"""Agents and edges as rows: a DataFrame where pandas is installed, else a list of dicts."""

import importlib.util
from typing import TYPE_CHECKING, Any

from env.camera import Pose
from social_jepa.graph.results import Results
from social_jepa.records import EdgeSummary, PoseRecord, as_dict

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
# Of a published model; None in the row of an agent that has not published one of its view.
PUBLISHED = (
    "device", "node", "dim", "core_dim", "probe_r2", "collapsed", "effective_rank", "steps", "frames",
    "frames_per_s", "checkpoint", "incarnation",
)  # fmt: skip


def edge_rows(results: Results) -> list[Row]:
    """Return the fields of every edge that are single values."""
    return [
        {
            key: str(value) if isinstance(value, str) else value
            for key in EdgeSummary.__struct_fields__
            if isinstance(value := getattr(edge, key), str | int | float | None)
            and key not in ("raw", "raw_strong")
        }
        for edge in results.document.edges
    ]


def agent_rows(results: Results) -> list[Row]:
    """Return name, state, kind, pose and published values of every agent, by index."""
    published = {agent.name: agent for agent in results.document.agents}
    return [
        {
            "name": member.name,
            "state": "published" if member.name in published else "training",
            "kind": member.kind,
            **as_dict(PoseRecord.of(Pose.parse(member.pose))),
            "pose_version": member.pose_version,
            "teacher": member.teacher,
            **{key: getattr(published.get(member.name), key, None) for key in PUBLISHED},
        }
        for member in results.members
    ]


def to_data_frame(rows: list[Row]) -> "pd.DataFrame | list[Row]":
    """Return rows as a DataFrame, or as they are where pandas is not installed."""
    if importlib.util.find_spec("pandas") is None:
        return rows
    import pandas as pd

    return pd.DataFrame(rows)

"""Agents and edges as rows: a DataFrame where pandas is installed, else a list of dicts."""

import importlib.util
from typing import TYPE_CHECKING

from social_jepa.graph.agent_row import Row, agent_row
from social_jepa.graph.results import Results
from social_jepa.records import EdgeSummary

if TYPE_CHECKING:
    import pandas as pd


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
    return [agent_row(member, published.get(member.name)) for member in results.members]


def to_data_frame(rows: list[Row]) -> "pd.DataFrame | list[Row]":
    """Return rows as a DataFrame, or as they are where pandas is not installed."""
    if importlib.util.find_spec("pandas") is None:
        return rows
    import pandas as pd

    return pd.DataFrame(rows)

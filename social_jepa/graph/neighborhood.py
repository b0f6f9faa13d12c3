"""An agent and those that it has edges with: what is shown of a graph that is too large to be shown whole."""

from alignment.natural_order import natural_key
from social_jepa.graph.results import Results
from social_jepa.records import EdgeRecord

MAX_SHOWN = 64  # agents in one drawing or matrix


def shown_agents(results: Results, focus: str | None, limit: int = MAX_SHOWN) -> list[str]:
    """Return the names of all agents by index, or of a neighborhood where there are more than the limit.

    Args:
        results: A graph.
        focus: The agent whose neighborhood is shown; None: of too many agents the first one's.
        limit: Most agents to return.

    Raises:
        UnknownAgentError: There is no agent of that name.
    """
    names = [member.name for member in results.members]
    if focus is not None:
        results.member(focus)
    return names if len(names) <= limit else neighborhood(results, focus or names[0], limit)


def neighborhood(results: Results, focus: str, limit: int) -> list[str]:
    """Return an agent, and in natural order those that it has an edge from or to.

    Of more than the limit those with the largest R2 of an accepted edge, in either direction.
    """
    scores: dict[str, float] = {}
    for edge in results.edges_of(focus):
        other = edge.target if edge.source == focus else edge.source
        scores[other] = max(scores.get(other, -1.0), _score(edge))
    nearest = sorted(scores, key=lambda name: (-scores[name], natural_key(name)))[: max(0, limit - 1)]
    return [focus, *sorted(nearest, key=natural_key)]


def _score(edge: EdgeRecord) -> float:
    return -1.0 if edge.accepted_r2 is None else edge.accepted_r2

"""Methods paragraph of universe."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.universe.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    counts = ", ".join(map(str, settings.agent_counts))
    return (
        f"{describe_agents(settings.setup)} {settings.max_agents} agents stand on one ring; the first "
        f"{counts} of them take part. Pairwise maps are partial rotations of the directions that two agents "
        f"share, fitted on {settings.pairs} pairs; a universe is one such map for each agent into a common "
        "space (generalized Procrustes of the directions that pairwise maps keep); R2 is the mean over all "
        "ordered pairs of agents, of the directions of the target's core that all have, on the held-out "
        f"ticks and {settings.draws} choices of the pairs. Cycles visit all agents in {settings.cycles} "
        "random orders. "
        f"With the first {settings.few} agents and maps of whole cores, rows are shuffled in shares of "
        f"{', '.join(f'{share:.0%}' for share in settings.shuffled_shares)} for all agents, and of "
        f"{settings.corrupted_share:.0%} for {settings.corrupted_agents} of {settings.group_size}; trimmed "
        f"fits trust {settings.keep:.0%} of the rows. The null reads the rows of each agent at another time; "
        "that of shuffled rows shuffles all of them."
    )

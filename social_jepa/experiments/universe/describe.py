"""Methods paragraph of universe."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.universe.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    counts = ", ".join(map(str, settings.agent_counts))
    return (
        f"{describe_agents(settings.setup)} {settings.max_agents} agents stand on one ring; the first "
        f"{counts} of them take part. A universe is one orthogonal map for each agent into a common space "
        f"(generalized Procrustes), fitted on {settings.pairs} pairs, as are pairwise orthogonal maps; R2 is "
        f"the mean over all ordered pairs of agents on the held-out ticks and {settings.draws} choices of "
        f"the pairs. Cycles visit all agents in {settings.cycles} random orders. Rows are shuffled in shares "
        f"of {', '.join(f'{share:.0%}' for share in settings.shuffled_shares)} for all agents, and of "
        f"{settings.corrupted_share:.0%} for {settings.corrupted_agents} of {settings.group_size}; trimmed "
        f"fits trust {settings.keep:.0%} of the rows."
    )

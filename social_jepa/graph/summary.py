"""How well a graph translates: ordered pairs counted by held-out R2 of what they share."""

from collections.abc import Sequence

import numpy as np

from social_jepa.records import EdgeRecord, GraphDocument, Record

HIGH_R2, MIDDLE_R2 = 0.9, 0.5  # limits of the three ranges


class WorstEdge(Record, frozen=True, kw_only=True):
    """The accepted edge with the lowest held-out R2."""

    source: str
    target: str
    r2_shared: float


class GraphSummary(Record, frozen=True, kw_only=True):
    """Ordered pairs of present agents, counted by the held-out R2 of the directions that they share.

    Acceptance says only that a direction is shared; these counts say how well what is shared translates.

    Attributes:
        agents: Number of present agents.
        pairs: Number of their ordered pairs that negotiate: the sum of the four counts that follow.
        high: Pairs whose R2 is above 0.9.
        middle: Pairs whose R2 is from 0.5 to 0.9.
        low: Pairs whose R2 is below 0.5.
        unmapped: Pairs without an accepted map: refused, failed, stale, or not negotiated yet.
        along_paths: Ordered pairs that do not negotiate, and translate along edges of others.
        topology: Which pairs negotiate.
        mean: Mean R2 of the accepted maps; None: there is none.
        worst: The edge with the lowest; None: there is none.
        shared_dim: Mean number of directions that accepted maps share; None: there is none.
        null_correlation: Mean correlation that these reach by chance; None: there is none.
        null_highest: Largest correlation that any of these reaches by chance; None: there is none.
    """

    agents: int
    pairs: int
    high: int
    middle: int
    low: int
    unmapped: int
    along_paths: int
    topology: str
    mean: float | None
    worst: WorstEdge | None
    shared_dim: float | None
    null_correlation: float | None
    null_highest: float | None

    def headline(self) -> str:
        """Return the counts as a sentence without a full stop."""
        if not self.pairs:
            return "One agent, so that there is no pair to translate between"
        pairs = f"{self.pairs:,} ordered pairs of {self.agents} agents"
        if self.along_paths:
            pairs += f" that negotiate ({self.topology})"
        if self.high == self.pairs:
            return f"All {pairs} translate with held-out R² above {HIGH_R2}"
        if self.unmapped == self.pairs:
            return f"None of the {pairs} has an accepted map"
        unmapped = f", {self.unmapped:,} have no accepted map" if self.unmapped else ""
        return (
            f"Of the {pairs}, {self.high:,} translate with held-out R² above {HIGH_R2}, {self.middle:,} from "
            f"{MIDDLE_R2} to {HIGH_R2}, {self.low:,} below {MIDDLE_R2}{unmapped}"
        )

    def remark(self) -> str:
        """Return the mean and the worst edge as a sentence without a full stop; empty without a map."""
        if self.mean is None or self.worst is None:
            return ""
        worst = self.worst
        others = f"; {self.along_paths:,} other pairs translate along paths" if self.along_paths else ""
        return (
            f"Mean {self.mean:.2f}, worst {worst.r2_shared:.2f} from {worst.source} to {worst.target}{others}"
        )


def summarize(document: GraphDocument) -> GraphSummary:
    """Return the summary of a graph."""
    agents = len(document.agents) + len(document.training)
    scored = [(edge.accepted_r2, edge) for edge in document.edges if edge.accepted_r2 is not None]
    r2 = np.array([value for value, _ in scored])
    every = agents * (agents - 1)
    high, low = int((r2 > HIGH_R2).sum()), int((r2 < MIDDLE_R2).sum())
    pairs = every if document.pairs is None else document.pairs
    worst = min(scored, key=lambda each: each[0], default=None)
    null = [edge.null_correlation for _, edge in scored if edge.null_correlation is not None]
    return GraphSummary(
        agents=agents,
        pairs=pairs,
        high=high,
        middle=len(scored) - high - low,
        low=low,
        unmapped=pairs - len(scored),
        along_paths=every - pairs,
        topology=document.topology,
        mean=_mean(r2),
        worst=None if worst is None else _worst(*worst),
        shared_dim=_mean([edge.shared_dim for _, edge in scored]),
        null_correlation=_mean(null),
        null_highest=max(null, default=None),
    )


def _mean(values: Sequence[float] | np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _worst(r2_shared: float, edge: EdgeRecord) -> WorstEdge:
    return WorstEdge(source=edge.source, target=edge.target, r2_shared=r2_shared)

"""Are the latents of strangers related by one linear map, is it an isometry, and from how many pairs?

After the question of Social-JEPA (arXiv:2603.02263). Theory says when the answer is yes: whitened prediction
of independent Ornstein-Uhlenbeck factors has the factors as its solution, up to a rotation
(arXiv:2605.26379), so that two agents who see the same factors differ by a rotation only.

Protocol. Agents stand on a ring around one scene, 90 degrees apart. Each learns its own view alone: they
share no weights, no seed and no order of data. Each finds its predictable core without a peer. Maps are then
fitted on pairs of codes from one stretch of ticks and scored on another; agents trained on a third. Codes
are centred and whitened by their owners, on ticks of training.

Parts. *jepa-long*: four agents with twice the steps and twice the ticks of the default course, all 12 edges,
budgets of 0 to 4096 pairs; up to 16 random choices of pairs a budget, the same for all edges. Zero pairs is
no map: the axes as each found them. Maps of the core are fitted by ridge, by Procrustes, by trimmed
Procrustes (robust), and through one common space of all four (universe); ridge of all dimensions stands
beside them. *The methods*, a part each: two agents 180 degrees apart, the default course. All see the same
frames, and those that learn have the same encoder, segments, steps and rate. They are compared on as many
leading axes as the scene has factors (6), by an orthogonal map from 64 pairs, because not every method finds
a core of that size; beside it stand the core as found, all dimensions (ridge from all pairs), and how well
the true state reads linearly from all dimensions of one agent, which says what there is to agree on.

Baselines: autoencoder; masked autoencoder (three quarters of 64 patches hidden); SimCLR (two views of a
frame: shifted by up to a sixteenth of its side, brighter or darker by a fifth, with noise); JEPAs kept from
collapse otherwise (VICReg, log-det, SIGReg); a supervised encoder, told where the objects are, as the
ceiling; the untrained encoder; principal components of the pixels. One control, in the part jepa: the second
agent again, trained on later ticks that the first never saw: what does common experience contribute?

Nulls. *Shuffled* (the null of the table): each agent's codes in an order of its own, for fitting and for
scoring. *Rolled* (the table's baseline, for the long course): each agent's clock late by another share of the
stretch, so that neighbours in time stay alike. An orthogonal map of strangers cannot hold back and scores
about -1; ridge can, and scores about 0. The baseline of methods is the JEPA; the null of a difference of
methods is the difference of their shuffled scores; the state has no null of its own.

Goals, set beforehand (which course the first three are for was settled on another seed):
  * jepa-long: core R2 of an orthogonal map, mean of 12 edges, at least 0.95 from 64 pairs;
  * and at least 0.93 from 8 pairs;
  * the singular values of the least-squares map between cores, of any edge: at most 1.02, at least 0.93;
  * R2 of the JEPA above that of the autoencoder, of the masked autoencoder and of SimCLR;
  * |R2| of ridge on shuffled pairs at most 0.02, of all dimensions, with all pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from alignment.edge_score import fit_core
from alignment.fit import fit_ridge
from social_jepa.experiments.common.pairs import average_over_edges
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup, TrainedAgent, ring_poses
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.isometry.methods import METHODS, raise_all, raise_one
from social_jepa.experiments.isometry.metrics import figures, notes
from social_jepa.experiments.isometry.plots import pictures
from social_jepa.experiments.isometry.scores import (
    budget_scores,
    choices,
    chosen_r2,
    correlations,
    leading,
    rolled,
    scored_on,
    shape_scores,
    shuffled,
    state_r2,
    whole,
)

LONG = "jepa-long"
OPPOSITE = (0, 2)  # agents that methods are compared on: 180 degrees apart on the default ring


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    upbringing: AgentSetup = field(default_factory=AgentSetup)
    agents: int = 4  # on the ring
    long: int = 2  # courses of jepa-long: times the steps and the ticks of the default one
    pairs: int = 4096  # largest budget of jepa-long, a power of two
    few: int = 8  # the budgets that goals are set for, powers of two
    enough: int = 64
    scored: int = 1024  # held-out ticks of jepa-long that score

    def __post_init__(self) -> None:
        """Refuse what cannot be compared, by name."""
        for name in ("pairs", "few", "enough"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name}={value}: budgets are powers of two")
        pool = self.upbringing.negotiation.pool_ticks
        if not self.few <= self.enough <= min(pool, self.pairs):
            raise ValueError(f"few <= enough <= pairs and pool must hold, got {self.few}, {self.enough}")
        if self.agents <= max(OPPOSITE):
            raise ValueError(f"agents={self.agents}: the comparison needs agents {OPPOSITE}")
        if self.axes > self.upbringing.model.dim:
            raise ValueError(f"model.dim={self.upbringing.model.dim}: the scene has {self.axes} factors")
        if self.long < 1 or self.scored < 16:
            raise ValueError(f"long={self.long} and scored={self.scored}: at least 1 and 16")

    @property
    def axes(self) -> int:
        """Leading axes that methods are compared on: as many as the scene has factors."""
        return 2 * self.upbringing.scene.objects

    @property
    def budgets(self) -> tuple[int, ...]:
        """Pairs that maps are fitted on: 1, 2, 4 and so on."""
        return tuple(1 << power for power in range(self.pairs.bit_length()))

    @property
    def longer(self) -> AgentSetup:
        """The course of jepa-long, with as many anchors as the largest budget."""
        up = self.upbringing
        training = replace(
            up.training,
            steps=self.long * up.training.steps,
            replay_ticks=self.long * up.training.replay_ticks,
        )
        pool = max(self.pairs, self.scored, up.negotiation.pool_ticks)
        return replace(up, training=training, negotiation=replace(up.negotiation, pool_ticks=pool))


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Raise the agents of one part and score the maps between them.

    Args:
        part: jepa-long, or one of isometry_methods.METHODS.
        seed: Of the world, the agents and the choices of pairs.
        settings: Of the run.
        say: Told how it goes.
    """
    if part == LONG:
        return society(seed, settings, say)
    method, up = METHODS[part], settings.upbringing
    poses = ring_poses(up, settings.agents)
    pair, _ = raise_all(method, up, seed, OPPOSITE, poses, say)
    measures = compared(pair, seed, settings)
    flops = sum(stranger.flops for stranger in pair) / len(pair)
    if part == "jepa":
        other, _ = raise_one(method, up, seed, OPPOSITE[1], poses, say, later=2 * up.training.replay_ticks)
        found = compared([pair[0], other], seed, settings)
        measures |= {f"other times, {name}": measure for name, measure in found.items()}
    say(f"R2 of the leading axes {measures['leading axes'].score:.3f}")
    return ConditionResult(measures, {"correlations": correlations(pair)}, flops=flops)


def society(seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Return what the agents of the long course and their maps score, and the nulls."""
    up = settings.longer
    poses = ring_poses(up, settings.agents)
    raised, views = raise_all(METHODS["jepa"], up, seed, range(settings.agents), poses, say)
    strangers = [scored_on(stranger, settings.scored) for stranger in raised]
    say(f"cores of {', '.join(str(stranger.core_dim) for stranger in strangers)} dimensions")
    societies = {"": strangers, "shuffled, ": shuffled(strangers, seed), "rolled, ": rolled(strangers)}
    if not all(stranger.core_dim for stranger in strangers):
        raise ValueError("an agent of the long course found no core: train longer, or raise model.dim")
    measures: dict[str, Score] = {}
    arrays = {"views": views}
    for relation, members in societies.items():
        found = budget_scores(members, settings.budgets, seed)
        found |= shape_scores(members, settings.enough, seed)
        measures |= {relation + name: measure for name, measure in found.items()}
        arrays[f"{relation}correlations"] = correlations(members)
    ridge = measures[f"shuffled, all dimensions, {settings.pairs}"]
    measures["|null|"] = Score.single(abs(ridge.score))
    measures["core size"] = Score.mean(np.array([stranger.core_dim for stranger in strangers]))
    flops = sum(stranger.flops for stranger in strangers) / len(strangers)
    return ConditionResult(measures, arrays, flops=flops)


def compared(pair: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return the figures that methods are compared by, and their nulls."""
    found = {}
    fitted = choices(pair[0], settings.enough, seed)
    every = choices(pair[0], len(pair[0].anchors.ids), seed)
    for relation, members in {"": pair, "shuffled, ": shuffled(pair, seed), "rolled, ": rolled(pair)}.items():
        axes = [leading(stranger, settings.axes) for stranger in members]
        full = [whole(stranger) for stranger in members]
        orthogonal, ridge = partial(chosen_r2, fit_core, fitted), partial(chosen_r2, fit_ridge, every)
        found[f"{relation}leading axes"] = average_over_edges(axes, orthogonal)[0]
        found[f"{relation}all dimensions"] = average_over_edges(full, ridge)[0]
        found[f"{relation}core as found"] = average_over_edges(members, orthogonal)[0]
    found["core size"] = Score.mean(np.array([stranger.core_dim for stranger in pair]))
    found["state"] = Score.average([state_r2(stranger) for stranger in pair])
    return found


EXPERIMENT = Experiment(
    name="isometry",
    question="Are the latents of strangers related by one linear map, an isometry, and from how many pairs?",
    settings=Settings,
    quick={"upbringing": QUICK_SETUP, "agents": 3, "pairs": 256, "scored": 256},
    conditions=lambda settings: (LONG, *METHODS),
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)

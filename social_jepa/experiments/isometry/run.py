"""Does one isometric map relate separately trained agents, and how many pairs does it need?

After the question of Social-JEPA (arXiv:2603.02263). Theory says when the answer is yes: whitened prediction
of independent Ornstein-Uhlenbeck factors has the factors as its solution, up to a rotation
(arXiv:2605.26379), so that two agents that observe the same factors differ by a rotation only.

Protocol. Agents stand on a ring around one scene, 90 degrees apart. Each is trained on its own views alone:
agents share no weights, no seed and no data order. Each detects its predictable core without a peer. Maps
are then fitted on pairs of embeddings from one range of ticks and scored on another; training used a third
range. Embeddings are centered and whitened by their owners, on training ticks: between those any good linear
map is an isometry, and its singular values are canonical correlations. How near to one the map between the
latents is that encoders emit is the question of the experiment native-isometry.

Conditions. *jepa-long*: four agents with twice the steps and twice the ticks of the default schedule, all 12
edges, maps from 0 to 4096 pairs; up to 16 random choices of the pairs for each number, the same for all
edges. Zero pairs means no map: the axes as each agent found them. Maps between cores are fitted by ridge, by
Procrustes, by trimmed Procrustes (robust), and through one universe of all four; ridge on all dimensions is
shown beside them. *The methods*, one condition each: two agents 180 degrees apart, default schedule. All see
the same frames, and those that train have the same encoder, segments, steps and learning rate. They are
compared on as many leading axes as the scene has factors (6), by an orthogonal map from 64 pairs, because
not every method detects a core of that dimension. Shown beside it: the detected core, all dimensions (ridge
on all pairs), and a linear probe of the true state on all dimensions of one agent, which measures how much
there is to agree on.

Baselines: autoencoder; masked autoencoder (three quarters of 64 patches masked); SimCLR (two augmentations of
a frame: shifted by up to a sixteenth of its side, brightness changed by a fifth, with noise); JEPAs with
other regularizers against collapse (VICReg, log-det, SIGReg); a supervised encoder with the positions of the
objects as targets, the ceiling; the untrained encoder; principal components of the pixels. One control, in
the condition jepa: the second agent trained again on later ticks that the first agent never saw, which
measures the contribution of shared training ticks. Beside the scores of jepa-long stand those of two
untrained encoders and of two pixel PCAs, on as many leading axes as the scene has factors.

Nulls. *Shuffled* (the null of the table): each agent's rows in a random order of its own, for fitting and
for scoring. *Rolled* (the table's baseline for the long schedule): each agent's rows shifted in time by
another share of the range, so that adjacent ticks stay alike. An orthogonal map of unrelated latents cannot
shrink and scores about -1; ridge can, and scores about 0. The baseline of methods is the JEPA; the null of a
difference of methods is the difference of their shuffled scores; the state has no null.

Thresholds, set beforehand (which schedule the first two refer to was settled on another seed):
  * jepa-long: core R2 of an orthogonal map, mean of 12 edges, at least 0.95 from 64 pairs;
  * and at least 0.93 from 8 pairs;
  * R2 of the JEPA above that of the autoencoder, of the masked autoencoder and of SimCLR;
  * |R2| of ridge on shuffled pairs at most 0.02, on all dimensions, with all pairs.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from alignment.edge_score import fit_core
from alignment.fit import fit_ridge
from social_jepa.experiments.common.methods import COMPARED_AGENTS
from social_jepa.experiments.common.pairs import average_over_edges
from social_jepa.experiments.common.similarity_baselines import with_core_dim
from social_jepa.experiments.common.trained_agents import TrainedAgent, ring_poses
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.isometry.describe import describe_methods
from social_jepa.experiments.isometry.methods import LONG, METHODS, train_all, train_one
from social_jepa.experiments.isometry.metrics import leading_name, make_metrics, make_notes
from social_jepa.experiments.isometry.plots import make_plots
from social_jepa.experiments.isometry.scores import (
    agreement_scores,
    choose_pairs,
    fitted_r2,
    mean_correlations,
    pair_scores,
    roll_agents,
    shuffle_agents,
    state_r2,
    with_full_core,
    with_heldout,
)
from social_jepa.experiments.isometry.settings import QUICK, Settings


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the agents of one condition and score the maps between them.

    Args:
        condition: jepa-long, or one of METHODS.
        seed: Seed of the scene, the agents and the choices of pairs.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    if condition == LONG:
        return run_long(seed, settings, log)
    method, setup = METHODS[condition], settings.setup
    poses = ring_poses(setup, settings.agents)
    pair, _ = train_all(method, setup, seed, COMPARED_AGENTS, poses, log)
    scores = method_scores(pair, seed, settings)
    if not method.trains:
        scores |= leading_scores(pair, seed, settings)
    flops = sum(agent.flops for agent in pair) / len(pair)
    if condition == "jepa":
        later = 2 * setup.training.replay_ticks
        other, _ = train_one(method, setup, seed, COMPARED_AGENTS[1], poses, log, later)
        control = method_scores([pair[0], other], seed, settings)
        scores |= {f"disjoint ticks, {name}": score for name, score in control.items()}
    log(f"R2 of the leading axes {scores['leading axes'].score:.3f}")
    return ConditionResult(scores, {"correlations": mean_correlations(pair)}, flops=flops)


def run_long(seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Return the scores of the agents of the long schedule and of the maps between them, with nulls.

    Raises:
        ValueError: An agent detected no core.
    """
    setup = settings.long_setup
    poses = ring_poses(setup, settings.agents)
    trained, views = train_all(METHODS["jepa"], setup, seed, range(settings.agents), poses, log)
    agents = [with_heldout(agent, settings.heldout_ticks) for agent in trained]
    log(f"cores of {', '.join(str(agent.core_dim) for agent in agents)} dimensions")
    variants = {"": agents, "shuffled, ": shuffle_agents(agents, seed), "rolled, ": roll_agents(agents)}
    if not all(agent.core_dim for agent in agents):
        raise ValueError("an agent of jepa-long found no core: raise setup.training.steps or setup.model.dim")
    scores: dict[str, Score] = {}
    arrays = {"views": views}
    for prefix, members in variants.items():
        found = pair_scores(members, settings.pair_counts, seed)
        found |= agreement_scores(members, settings.reference_pairs, seed)
        scores |= {prefix + name: score for name, score in found.items()}
        arrays[f"{prefix}correlations"] = mean_correlations(members)
    ridge = scores[f"shuffled, all dimensions, {settings.max_pairs}"]
    scores["absolute shuffled R2"] = Score.single(abs(ridge.score))
    scores["core dimension"] = Score.mean(np.array([agent.core_dim for agent in agents]))
    flops = sum(agent.flops for agent in agents) / len(agents)
    return ConditionResult(scores, arrays, flops=flops)


def leading_scores(pair: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return the scores of jepa-long for two agents that learned nothing, compared on their leading axes."""
    leading = [with_core_dim(agent, settings.leading_axes) for agent in pair]
    counts = [count for count in settings.pair_counts if count <= len(pair[0].anchors.ids)]
    found = pair_scores(leading, counts, seed) | agreement_scores(leading, settings.reference_pairs, seed)
    return {leading_name(name): score for name, score in found.items()}


def method_scores(pair: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return the scores that methods are compared by, and their nulls."""
    scores = {}
    some = choose_pairs(pair[0], settings.reference_pairs, seed)
    all_rows = choose_pairs(pair[0], len(pair[0].anchors.ids), seed)
    orthogonal, ridge = partial(fitted_r2, fit_core, some), partial(fitted_r2, fit_ridge, all_rows)
    variants = {"": pair, "shuffled, ": shuffle_agents(pair, seed), "rolled, ": roll_agents(pair)}
    for prefix, members in variants.items():
        leading = [with_core_dim(agent, settings.leading_axes) for agent in members]
        full = [with_full_core(agent) for agent in members]
        scores[f"{prefix}leading axes"] = average_over_edges(leading, orthogonal)[0]
        scores[f"{prefix}all dimensions"] = average_over_edges(full, ridge)[0]
        scores[f"{prefix}detected core"] = average_over_edges(members, orthogonal)[0]
    scores["core dimension"] = Score.mean(np.array([agent.core_dim for agent in pair]))
    scores["state"] = Score.average([state_r2(agent) for agent in pair])
    return scores


EXPERIMENT = Experiment(
    name="isometry",
    question="Does one isometric map relate separately trained agents, and how many pairs does it need?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: (LONG, *METHODS),
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
)

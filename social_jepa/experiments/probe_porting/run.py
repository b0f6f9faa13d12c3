"""Does a probe of agent A work for agent B without a gradient step?

After the claim of Social-JEPA (arXiv:2603.02263) that a probe can be ported between agents; the paper
reports no number for it.

Protocol. Four agents are trained on the same scene, each from its own camera on the ring, sharing nothing.
A probe of each agent's predictable core is fitted on labeled ticks: ridge regression of the positions of the
objects (each coordinate relative to its range, -1 to 1). Agent B then uses the probe of agent A: its core is
mapped to A's by the orthogonal map fitted on a number of anchors, and nothing is fitted to B's labels.
Classifiers are ported in the experiment classifier-porting.

Scores. R2 of the positions, the mean over the 12 ordered pairs of agents, with 1 to 1024 anchors. Probes and
maps are fitted on one range of ticks and scored on another, and training used neither. The true state labels
the ticks of the probes and scores them; no agent has access to it.

Baselines: the same from two untrained encoders, two pixel PCAs and linear tICA, on as many leading axes as
the scene has factors; B's own probe, fitted on as many labels as A's; and B's own probe fitted on as many
labels as the map has anchors, which is the cost that porting saves. Controls: no map (A's probe applied to
B's core directly, truncated or padded with zeros where dimensions differ) and a random orthogonal map. Null:
the map fitted on the same anchors, shuffled; for scores without a map, on the 256 anchors that the threshold
refers to. Chance: the mean position.

Threshold, set beforehand: with 256 anchors, own minus ported at most 0.01.
"""

from collections.abc import Sequence

import numpy as np

from social_jepa.experiments.common.pairs import fit_edge, ordered_pairs
from social_jepa.experiments.common.similarity_baselines import baseline_agents, baseline_scores
from social_jepa.experiments.common.trained_agents import TrainedAgent, ring_poses, train_agents
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.probe_porting.describe import describe_methods
from social_jepa.experiments.probe_porting.metrics import CONDITION, make_metrics, make_notes
from social_jepa.experiments.probe_porting.plots import make_plots
from social_jepa.experiments.probe_porting.probes import fit_probe, port_probe, unit_positions
from social_jepa.experiments.probe_porting.settings import QUICK, Settings

PLOTTED_TICKS = 200  # ticks of the scatter plot


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the agents, fit a probe of each, and score every agent with the probes of all others.

    Args:
        condition: The only one, CONDITION.
        seed: Seed of the scene, the agents, and the choice of anchors.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    del condition
    agents = train_agents(settings.setup, seed, ring_poses(settings.setup, settings.agents), log)
    found: dict[str, list[Score]] = {}
    probes = {agent.name: fit_probe(agent) for agent in agents}
    for index, (reader, owner) in enumerate(ordered_pairs(agents)):
        edge_seed = 1000 * seed + index  # anchors are chosen independently for every edge
        for name, score in port_probe(reader, owner, probes, settings.anchor_counts, edge_seed).items():
            found.setdefault(name, []).append(score)
    scores = {name: Score.average(each) for name, each in found.items()}
    pairs = zip(found["own"], found[f"ported, {settings.threshold_anchors}"], strict=True)
    losses = [own.score - other.score for own, other in pairs]
    scores["worst loss"] = Score.single(max(losses))
    log(f"own {scores['own'].score:.3f}, ported loses {np.mean(losses):.4f}")
    arrays = _predictions(agents[1], agents[0], settings.threshold_anchors, 1000 * seed)
    scores |= run_baselines(seed, settings, log)
    return ConditionResult(scores, arrays, flops=sum(agent.flops for agent in agents))


def run_baselines(seed: int, settings: Settings, log: Log) -> dict[str, Score]:
    """Return the scores of two agents that learned nothing, with the anchors that the threshold refers to."""
    poses, axes = ring_poses(settings.setup, settings.agents), 2 * settings.setup.scene.objects
    agents = baseline_agents(settings.setup, seed, (0, 1), poses, log, axes=axes)

    def score(pair: Sequence[TrainedAgent]) -> dict[str, Score]:
        probes = {agent.name: fit_probe(agent) for agent in pair}
        edges = [
            port_probe(reader, owner, probes, (settings.threshold_anchors,), 1000 * seed)
            for reader, owner in ordered_pairs(pair)
        ]
        return {name: Score.average([edge[name] for edge in edges]) for name in edges[0]}

    return baseline_scores(agents, score)


def _predictions(reader: TrainedAgent, owner: TrainedAgent, anchors: int, seed: int) -> dict[str, np.ndarray]:
    """Return the predictions for one agent by its own and by a ported probe, for the plots."""
    core = reader.heldout.core()[:PLOTTED_TICKS].double()
    return {
        "true": unit_positions(reader, reader.heldout)[:PLOTTED_TICKS],
        "own": fit_probe(reader)(core.numpy()),
        "ported": fit_probe(owner)(fit_edge(reader, owner, anchors, seed)(core).numpy()),
    }


EXPERIMENT = Experiment(
    name="probe-porting",
    question="Does a probe of one agent work for another without a gradient step?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: (CONDITION,),
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
)

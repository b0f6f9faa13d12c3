"""Does a classifier that was trained on one agent work for another without a gradient step?

Social-JEPA (arXiv:2603.02263) claims that a classifier trained on one agent can be ported to another, and
gives no number for it. What is classified here is what an object is, not where it is.

Protocol. One object moves in a room and becomes another one every 32 ticks: each time is a new instance of
one of 15 classes, MiniWorld's meshes, solids and textured boxes. The classes recur at other places and under
other light: brightness and hue of each camera, and so the colors of the background, drift by themselves, and
pixels have noise. Three agents look from 60 to 180 degrees apart; they share no weights, no seed and no tick
of training (training.own_ticks). A classifier, multinomial logistic regression on *all* latents of an agent,
the core and the rest, is fitted on 2,048 instances. Another agent uses it through the map between all
latents, ridge regression from 8 to 1,024 pairs, and nothing is fitted to that agent's labels. Scores are
top-1 on 2,048 other instances, mean over the six ordered pairs of agents. No instance is in two of the sets
that train encoders, fit maps and classifiers, and score.

Baselines: the same of untrained encoders, of pixel PCAs and of linear tICA, with as many latents; the
reader's own classifier, fitted on as many labels as the owner's; and that fitted on as many labels as the map
has pairs, which is the cost that porting saves. Null: the map fitted on pairs of which one side is shifted in
time by half of the range. Chance: the most common class.

Seeds 1000 to 1007, on which nothing was searched, score.

Thresholds, set before the full run, with 256 pairs:
- the ported classifier loses at most 0.02 of top-1 to the reader's own;
- the own one reaches at least 0.8;
- ported between untrained encoders, one reaches at most 0.4;
- ported between pixel PCAs, one stays at least 0.15 below the trained agents' own;
- ported between trained agents, one exceeds that of the best baseline.
"""

from collections.abc import Sequence

import numpy as np

from social_jepa.experiments.classifier_porting.describe import describe_methods
from social_jepa.experiments.classifier_porting.metrics import CONDITION, make_metrics, make_notes
from social_jepa.experiments.classifier_porting.plots import make_plots
from social_jepa.experiments.classifier_porting.scores import (
    class_accuracy,
    fit_classifiers,
    mean_scores,
    port_classifier,
)
from social_jepa.experiments.classifier_porting.settings import PLACES, QUICK, Settings
from social_jepa.experiments.common.pairs import ordered_pairs
from social_jepa.experiments.common.similarity_baselines import baseline_agents, baseline_scores
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score

PLOTTED_INSTANCES = 8


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the agents, fit a classifier of each, and score every agent with those of all others.

    Args:
        condition: The only one, CONDITION.
        seed: Seed of the scene, the agents, and the choice of pairs.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    del condition
    setup, pairs = settings.setup, settings.threshold_pairs
    agents, frames = train_all(setup, seed, log)
    scores = mean_scores(agents, settings.pair_counts, seed)
    scores |= separation_scores(agents, settings, seed)
    scores["latents"] = Score.mean(np.array([agent.anchors.vectors.shape[1] for agent in agents]))
    log(f"own {scores['own'].score:.3f}, ported {scores[f'ported, {pairs}'].score:.3f}")
    poses = ring_poses(setup, max(PLACES) + 1)
    baselines = baseline_agents(setup, seed, PLACES, poses, log)
    scores |= baseline_scores(baselines, lambda members: mean_scores(members, settings.pair_counts, seed))
    arrays = {
        "frames": frames,
        "by class": class_accuracy(agents[-1], agents[0], pairs, seed, len(setup.scene.shapes)),
    }
    return ConditionResult(scores, arrays, flops=sum(agent.flops for agent in agents) / len(agents))


def train_all(setup: AgentSetup, seed: int, log: Log) -> tuple[list[TrainedAgent], np.ndarray]:
    """Train the agents, one after the other.

    Returns:
        (trained agents, frames of each camera at some held-out ticks [agents, PLOTTED_INSTANCES, H, W, 3]).
    """
    poses, agents, frames = ring_poses(setup, max(PLACES) + 1), [], []
    for index in PLACES:
        with untrained_agent(setup, seed, index, poses) as agent:
            agents.append(trained_agent(agent, train_agent(agent, log)))
            frames.append(agent.recorder.record(agent.ticks.heldout[:PLOTTED_INSTANCES]).frames)
    return agents, np.stack(frames)


def separation_scores(agents: Sequence[TrainedAgent], settings: Settings, seed: int) -> dict[str, Score]:
    """Return own and ported accuracy by the degrees between two agents, with the thresholds' pairs."""
    classifiers, pairs = fit_classifiers(agents), settings.threshold_pairs
    found: dict[str, list[Score]] = {}
    number = {agent.name: index for index, agent in enumerate(agents)}
    for index, (reader, owner) in enumerate(ordered_pairs(agents)):
        one = port_classifier(reader, owner, classifiers, (pairs,), 1000 * seed + index)
        degrees = settings.degrees(number[reader.name], number[owner.name])
        for name in ("own", f"ported, {pairs}"):
            found.setdefault(f"{name}, {degrees:g} degrees", []).append(one[name])
    return {name: Score.average(each) for name, each in found.items()}


EXPERIMENT = Experiment(
    name="classifier-porting",
    question="Does a classifier trained on one agent work for another without a gradient step?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: (CONDITION,),
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
    seeds=range(1000, 1008),
)

"""Scores of classifier-porting: classifiers of what an object is, used by other agents through a map."""

from collections.abc import Mapping, Sequence

import numpy as np

from alignment.anchors import AnchorSet, choose_ticks
from alignment.fit import fit_ridge
from social_jepa.experiments.classifier_porting.settings import LABELED
from social_jepa.experiments.common.pairs import ordered_pairs
from social_jepa.experiments.common.probes import Probe, linear_classifier
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score

Classifiers = Mapping[str, Probe]  # by the name of their owner


def class_labels(agent: TrainedAgent, anchors: AnchorSet) -> np.ndarray:
    """Return the class of the labeled object at the ticks of a set, int64 [K]; for evaluation only."""
    return agent.scene.identities(np.array(anchors.ids))[:, LABELED]


def fit_classifiers(agents: Sequence[TrainedAgent]) -> Classifiers:
    """Return the classifier of each agent, on all its latents, fitted on all its anchor ticks."""
    return {
        agent.name: linear_classifier(
            agent.anchors.vectors.double().numpy(), class_labels(agent, agent.anchors)
        )
        for agent in agents
    }


def port_classifier(
    reader: TrainedAgent, owner: TrainedAgent, classifiers: Classifiers, pair_counts: Sequence[int], seed: int
) -> dict[str, Score]:
    """Return the held-out accuracy of a reader with the classifier of its owner, and with its own.

    *ported, K*: through the ridge map of all latents from K pairs. *shifted, K*: the same with the owner's
    rows shifted in time by half of the pool, the null. *own, K labels*: the reader's own classifier, fitted
    on as many labels.

    Args:
        reader: Agent whose latents are classified.
        owner: Agent whose classifier is used.
        classifiers: Classifiers of both.
        pair_counts: Numbers of pairs, K.
        seed: Seed of the choice of pairs; a larger number adds pairs to those of a smaller one.
    """
    fit, heldout = reader.anchors.vectors.double(), reader.heldout.vectors.double()
    target = owner.anchors.vectors.double()
    shifted = target.roll(len(target) // 2, 0)
    labels, expected = class_labels(reader, reader.anchors), class_labels(reader, reader.heldout)
    guess = np.bincount(labels).argmax()

    def accuracy(classify: Probe, rows: np.ndarray) -> Score:
        return Score.mean(classify(rows) == expected)

    scores = {
        "own": accuracy(classifiers[reader.name], heldout.numpy()),
        "chance": Score.mean(expected == guess),
    }
    for count in pair_counts:
        rows = reader.anchors.rows(choose_ticks(reader.anchors.ids, count, seed))
        few = linear_classifier(fit[rows].numpy(), labels[rows])
        for name, owned in (("ported", target), ("shifted", shifted)):
            mapped = fit_ridge(fit[rows], owned[rows])(heldout).numpy()
            scores[f"{name}, {count}"] = accuracy(classifiers[owner.name], mapped)
        scores[f"own, {count} labels"] = accuracy(few, heldout.numpy())
    return scores


def mean_scores(agents: Sequence[TrainedAgent], pair_counts: Sequence[int], seed: int) -> dict[str, Score]:
    """Return the mean of `port_classifier` over all ordered pairs of agents."""
    classifiers = fit_classifiers(agents)
    found = [
        port_classifier(reader, owner, classifiers, pair_counts, 1000 * seed + index)
        for index, (reader, owner) in enumerate(ordered_pairs(agents))
    ]
    return {name: Score.average([scores[name] for scores in found]) for name in found[0]}


def class_accuracy(
    reader: TrainedAgent, owner: TrainedAgent, pairs: int, seed: int, classes: int
) -> np.ndarray:
    """Return the accuracy by class of a reader's own classifier, and of the ported one, [2, classes]."""
    classifiers = fit_classifiers([reader, owner])
    rows = reader.anchors.rows(choose_ticks(reader.anchors.ids, pairs, seed))
    fit, target = (agent.anchors.vectors[rows].double() for agent in (reader, owner))
    heldout, expected = reader.heldout.vectors.double(), class_labels(reader, reader.heldout)
    predicted = (
        classifiers[reader.name](heldout.numpy()),
        classifiers[owner.name](fit_ridge(fit, target)(heldout).numpy()),
    )
    return np.array([
        [np.mean(guess[expected == index] == index) if (expected == index).any() else np.nan
         for index in range(classes)]
        for guess in predicted
    ])  # fmt: skip

"""Laws of the classifier-porting experiment."""

import numpy as np
import pytest
import torch

from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.scene import Scene, SceneConfig
from env.shapes import SHAPES
from social_jepa.config.overrides import build_config
from social_jepa.experiments.classifier_porting.metrics import CONDITION
from social_jepa.experiments.classifier_porting.run import EXPERIMENT, run
from social_jepa.experiments.classifier_porting.scores import (
    class_accuracy,
    class_labels,
    fit_classifiers,
    mean_scores,
    port_classifier,
)
from social_jepa.experiments.classifier_porting.settings import Settings
from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.framework.score import Score
from tests.support.stored_plots import stored_plots

SCENE = SceneConfig(renderer="toy", objects=1, shapes=SHAPES["toy"], identity_ticks=4)
CLASSES = len(SHAPES["toy"])
TINY = build_settings(
    EXPERIMENT,
    True,
    [
        "setup.scene.frame_size=16",
        "setup.training.steps=8",
        "setup.training.segments=16",
        "setup.training.replay_ticks=256",
        "setup.training.core_eval_ticks=64",
        "setup.model.dim=6",
        "setup.model.width=4",
        "setup.model.hidden=8",
        "setup.negotiation.pool_ticks=96",
        "setup.negotiation.anchors=16",
        "setup.negotiation.heldout=32",
        "pair_counts=[8, 32]",
        "threshold_pairs=32",
    ],
)


def discard(text: str) -> None:
    pass


def planted_agent(index: int, noise: float = 0.1, rows: int = 600) -> TrainedAgent:
    """An agent whose latents are a rotation of the one-hot class and of two other factors."""
    scene, rng = Scene(SCENE, 5), np.random.default_rng([7, index])
    dim = CLASSES + 2
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    sets = []
    for start in (0, 100_000):
        ticks = range(start, start + 4 * rows, 4)
        classes = scene.identities(np.array(ticks))[:, 0]
        content = np.hstack([np.eye(CLASSES)[classes], scene.factors(np.array(ticks))])
        latents = (content + noise * rng.standard_normal(content.shape)) @ rotation
        sets.append(AnchorSet(tuple(ticks), torch.from_numpy(latents), 2))
    basis = CoreBasis(torch.zeros(dim), torch.eye(dim), torch.full((dim,), 0.7), 2, torch.zeros(dim), 0.1)
    return TrainedAgent(f"agent-{index}", torch.nn.Identity(), basis, *sets, scene, 0, 0.0)


def test_a_classifier_works_for_a_peer_whose_latents_differ_by_a_rotation():
    pair = [planted_agent(0), planted_agent(1)]
    found = port_classifier(*pair, fit_classifiers(pair), (8, 256), 3)
    scores = {name: score.score for name, score in found.items()}

    assert scores["own"] > 0.95
    assert scores["ported, 256"] > scores["own"] - 0.02
    for name in ("shifted, 256", "ported, 8", "own, 8 labels", "chance"):
        assert scores[name] < scores["own"] - 0.2, name
    assert scores["chance"] < 2 / CLASSES


def test_a_classifier_fails_where_the_latents_lack_the_class():
    pair = [planted_agent(0), planted_agent(2, noise=30.0)]
    found = port_classifier(pair[1], pair[0], fit_classifiers(pair), (256,), 0)

    assert found["own"].score < 0.25
    assert found["ported, 256"].score < 0.25


def test_accuracy_by_class_has_the_accuracy_of_all_as_its_mean():
    pair = [planted_agent(0, noise=0.4), planted_agent(1, noise=0.4)]
    by_class = class_accuracy(*pair, 256, 7, CLASSES)
    found = port_classifier(*pair, fit_classifiers(pair), (256,), 7)
    shares = np.bincount(class_labels(pair[0], pair[0].heldout), minlength=CLASSES) / 600

    assert by_class @ shares == pytest.approx([found["own"].score, found["ported, 256"].score], abs=0.005)


def test_no_two_ticks_of_the_pools_show_one_instance():
    for settings in (Settings(), TINY):
        setup, period = settings.setup, settings.setup.scene.identity_ticks
        ticks = np.arange(setup.negotiation.pool_ticks) * setup.stride

        assert len(np.unique(ticks // period)) == len(ticks)
        assert len(set(Settings().setup.scene.shapes)) >= 13


def test_agents_stand_from_60_to_180_degrees_apart():
    assert Settings().separations == [60.0, 120.0, 180.0]
    assert Settings().degrees(2, 0) == 180.0


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ("setup.scene.identity_ticks=0", "identity_ticks"),
        ("setup.negotiation.pool_stride=20", "pool_stride"),
        ("pair_counts=[0, 256]", "pair_counts"),
        ("pair_counts=[256, 4096]", "pair_counts"),
        ("threshold_pairs=100", "threshold_pairs"),
        ("setup.ring.separation=90", "separation"),
    ],
)
def test_settings_that_measure_nothing_are_refused(change, setting):
    with pytest.raises(ValueError, match=setting):
        build_config(Settings, {}, [change])


def planted_results(own, ported, untrained, pca):
    """Results of three seeds with these accuracies."""
    settings = TINY
    names = ["own", "chance", "latents", *(f"{kind}, {count}" for kind in ("ported", "shifted")
             for count in settings.pair_counts), *(f"own, {count} labels" for count in settings.pair_counts),
             *(f"{name}, {degrees:g} degrees" for name in ("own", "ported, 32")
               for degrees in settings.separations)]  # fmt: skip
    found = {}
    for seed in range(3):
        values = dict.fromkeys(names, 0.1) | {"own": own, "ported, 32": ported}
        values |= {baseline_name(method, name): 0.1 for method in METHODS for name in names}
        values |= {"untrained: ported, 32": untrained, "pixel PCA: ported, 32": pca}
        scores = {name: Score.single(value + 0.001 * seed) for name, value in values.items()}
        found[CONDITION, seed] = ConditionResult(scores)
    return Results(found, range(3))


def test_thresholds_follow_from_planted_scores():
    def verdicts(*accuracies):
        metrics = EXPERIMENT.metrics(planted_results(*accuracies), TINY)
        return [metric.met for metric in metrics if metric.threshold]

    assert verdicts(0.9, 0.89, 0.3, 0.7) == [True, True, True, True, True]
    assert verdicts(0.7, 0.6, 0.5, 0.65) == [False, False, False, False, False]


def test_a_run_gives_every_metric_and_the_same_again():
    result, again = (run(CONDITION, 1, TINY, discard) for _ in range(2))
    for name, score in result.scores.items():
        assert np.array_equal(score.values, again.scores[name].values)
    results = Results({(CONDITION, 1): result}, [1])
    metrics = EXPERIMENT.metrics(results, TINY)
    assert all(np.isfinite(metric.estimate.value) for metric in metrics)
    assert len({(metric.group, metric.name) for metric in metrics}) == len(metrics)
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()


def test_the_scores_are_means_over_all_ordered_pairs():
    agents = [planted_agent(index, noise) for index, noise in ((0, 0.1), (1, 0.4), (2, 0.8))]
    found, classifiers = mean_scores(agents, (64,), 2), fit_classifiers(agents)
    own = [
        port_classifier(reader, agents[0], classifiers, (), 0)["own"].score for reader in agents
    ]  # fmt: skip

    assert found["own"].score == pytest.approx(np.mean(own))

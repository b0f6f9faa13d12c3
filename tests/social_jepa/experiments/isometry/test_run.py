"""Laws of the isometry experiment."""

import numpy as np
import pytest
import torch

from agents.models.settings import ModelConfig
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from alignment.edge_score import fit_core
from alignment.fit import fit_ridge
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.similarity_baselines import with_core_dim
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup, TrainedAgent
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.isometry import run as isometry
from social_jepa.experiments.isometry.metrics import CONDITION
from social_jepa.experiments.isometry.run import EXPERIMENT, run
from social_jepa.experiments.isometry.scores import (
    agreement_scores,
    choose_pairs,
    fitted_r2,
    pair_scores,
    roll_agents,
)
from social_jepa.experiments.isometry.settings import Settings
from tests.support.stored_plots import stored_plots


def tiny_setup(**training):
    pools = {"pool_ticks": 128, "anchors": 64, "heldout": 64}
    changed = {"training": {**QUICK_SETUP["training"], **training}, "negotiation": pools}
    return build_config(AgentSetup, {**QUICK_SETUP, **changed}, [])


TINY = Settings(
    tiny_setup(steps=60, replay_ticks=512, core_eval_ticks=256, own_ticks=True), agents=3, latent_pairs=64
)


def discard(text):
    del text


def planted_agent(name, seed, stretch=1.0, rows=256, dim=3):
    """An agent whose core is a rotation of common coordinates, the first of which may be stretched."""
    common = torch.Generator().manual_seed(7)
    sets = [torch.randn(rows, dim, generator=common, dtype=torch.float64) for _ in range(2)]
    private = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=private, dtype=torch.float64))[0]
    scale = torch.tensor([stretch, 1.0, 1.0], dtype=torch.float64)
    anchors, heldout = (AnchorSet(tuple(range(rows)), (z * scale) @ rotation, dim) for z in sets)
    basis = CoreBasis(torch.zeros(dim), torch.eye(dim), torch.full((dim,), 0.7), dim, torch.zeros(dim), 0.1)
    return TrainedAgent(name, torch.nn.Identity(), basis, anchors, heldout, None, 0, 0.0)


@pytest.fixture
def rotated_agents():
    return [planted_agent(f"agent-{seed}", seed) for seed in range(3)]


def test_every_fit_finds_a_planted_rotation_from_as_many_pairs_as_dimensions(rotated_agents):
    scores = pair_scores(rotated_agents, (1, 4, 64), 0)

    for name in ("procrustes", "robust", "universe"):
        assert scores[f"{name}, 1"].score < 0.9 < 0.999 < scores[f"{name}, 4"].score
    assert 0.9 < scores["ridge, 64"].score < scores["procrustes, 64"].score
    assert scores["no map, 0"].score < 0.5


def test_neighbors_are_those_of_a_rotation_and_not_of_a_stretch(rotated_agents):
    rotation = agreement_scores(rotated_agents, 64, 0)
    stretch = agreement_scores([rotated_agents[0], planted_agent("stretched", 1, stretch=2.0)], 64, 0)

    assert rotation["retrieval at 1"].score == rotation["mutual 10 nearest neighbors"].score == 1
    assert rotation["linear CKA"].score == pytest.approx(1)
    assert rotation["R2 of the worst edge"].score == pytest.approx(1)
    for name in ("mutual 10 nearest neighbors", "linear CKA", "R2 of the worst edge"):
        assert stretch[name].score < 0.95


def test_the_null_shifts_rows_and_changes_nothing_else(rotated_agents):
    shifted = roll_agents(rotated_agents)

    for before, after in zip(rotated_agents, shifted, strict=True):
        assert torch.equal(before.heldout.vectors.sort(0).values, after.heldout.vectors.sort(0).values)
    rows = choose_pairs(shifted[0], 128, 0)
    assert abs(fitted_r2(fit_ridge, rows, *shifted[:2]).score) < 0.15
    assert fitted_r2(fit_core, rows, *shifted[:2]).score < -0.4
    assert agreement_scores(shifted, 64, 0)["retrieval at 1"].score < 0.05


def test_a_larger_number_of_pairs_adds_rows_and_all_pairs_are_one_choice(rotated_agents):
    few, many = (choose_pairs(rotated_agents[0], pairs, 3) for pairs in (4, 16))

    assert torch.equal(few, many[:, :4])
    assert few.shape == (16, 4)
    assert len(choose_pairs(rotated_agents[0], 256, 3)) == 1
    assert not torch.equal(few, choose_pairs(rotated_agents[0], 4, 4))


def test_without_a_core_r2_is_zero(rotated_agents):
    empty = [with_core_dim(agent, 0) for agent in rotated_agents]

    assert fitted_r2(fit_core, choose_pairs(empty[0], 8, 0), *empty[:2]).score == 0


@pytest.mark.parametrize(
    "change",
    [
        {"latent_pairs": 100},
        {"few_pairs": 0},
        {"reference_pairs": 4096},
        {"agents": 2},
        {"setup": AgentSetup(model=ModelConfig(dim=4))},
    ],
)
def test_settings_that_compare_nothing_are_refused(change):
    with pytest.raises(ValueError, match="="):
        Settings(**change)


def test_numbers_of_pairs_are_the_powers_of_two_up_to_the_pool():
    assert TINY.pair_counts == (1, 2, 4, 8, 16, 32, 64, 128)
    assert Settings().pair_counts[-1] == 1024


def test_a_run_gives_every_metric_and_the_same_again():
    found, again = (run(CONDITION, 0, TINY, discard) for _ in range(2))
    for name, score in found.scores.items():
        assert np.array_equal(score.values, again.scores[name].values), name
    results = Results({(CONDITION, 0): found}, [0])
    metrics = EXPERIMENT.metrics(results, TINY)

    assert all(np.isfinite(metric.estimate.value) for metric in metrics)
    assert len([metric for metric in metrics if metric.threshold]) == 6
    assert len({metric.name for metric in metrics}) == len(metrics)
    by_name = {metric.name: metric for metric in metrics}
    core = by_name["core R2, orthogonal map from 64 pairs"]
    assert core.null == results.mean(CONDITION, "shifted, procrustes, 64")
    assert core.tica == results.mean(CONDITION, "linear tICA: procrustes, 64")
    best = max(core.untrained, core.pixel_pca, core.tica)
    gain = by_name["core R2 from 64 pairs minus the best baseline"]
    assert gain.estimate.value == pytest.approx(core.estimate.value - best)
    assert found.flops > 0
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()


def test_an_agent_without_a_core_is_named_with_what_to_raise(monkeypatch):
    def none_found(settings, seed, log):
        return [with_core_dim(planted_agent("agent-0", 0), 0)], np.zeros(0)

    monkeypatch.setattr(isometry, "train_all", none_found)
    with pytest.raises(ValueError, match=r"found no core: raise setup\.training\.steps"):
        run(CONDITION, 0, TINY, discard)

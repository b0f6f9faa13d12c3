"""Laws of the isometry experiment and of the methods that it compares."""

from functools import partial

import numpy as np
import pytest
import torch

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from alignment.edge_score import fit_core
from alignment.fit import fit_ridge
from env.recording import SensorData
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.baselines import MaskedAutoencoder, PixelPca, Supervised, augment
from social_jepa.experiments.common.methods import BASELINES
from social_jepa.experiments.common.similarity_baselines import with_core_dim
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup, TrainedAgent, ring_poses
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.isometry.methods import METHODS, train_all, train_one
from social_jepa.experiments.isometry.metrics import state_note
from social_jepa.experiments.isometry.run import EXPERIMENT, run
from social_jepa.experiments.isometry.scores import (
    agreement_scores,
    choose_pairs,
    fitted_r2,
    pair_scores,
    roll_agents,
    shuffle_agents,
    with_heldout,
)
from social_jepa.experiments.isometry.settings import Settings
from tests.support.stored_plots import stored_plots

SIZES = ModelConfig(dim=4, width=4, hidden=16)


def tiny_setup(**training):
    pools = {"pool_ticks": 128, "anchors": 64, "heldout": 64}
    changed = {"training": {**QUICK_SETUP["training"], **training}, "negotiation": pools}
    return build_config(AgentSetup, {**QUICK_SETUP, **changed}, [])


TINY = Settings(
    tiny_setup(steps=20, replay_ticks=512, core_eval_ticks=128),
    agents=3,
    max_pairs=64,
    heldout_ticks=128,
    long_multiplier=1,
)


def discard(text):
    del text


def random_frames(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


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


@pytest.mark.parametrize("reorder", [partial(shuffle_agents, seed=0), roll_agents])
def test_nulls_reorder_rows_and_change_nothing_else(rotated_agents, reorder):
    reordered = reorder(rotated_agents)

    for before, after in zip(rotated_agents, reordered, strict=True):
        assert torch.equal(before.heldout.vectors.sort(0).values, after.heldout.vectors.sort(0).values)
    rows = choose_pairs(reordered[0], 128, 0)
    assert abs(fitted_r2(fit_ridge, rows, *reordered[:2]).score) < 0.15
    assert fitted_r2(fit_core, rows, *reordered[:2]).score < -0.4
    assert agreement_scores(reordered, 64, 0)["retrieval at 1"].score < 0.05


def test_a_larger_number_of_pairs_adds_rows_and_all_pairs_are_one_choice(rotated_agents):
    few, many = (choose_pairs(rotated_agents[0], pairs, 3) for pairs in (4, 16))

    assert torch.equal(few, many[:, :4])
    assert few.shape == (16, 4)
    assert len(choose_pairs(rotated_agents[0], 256, 3)) == 1
    assert not torch.equal(few, choose_pairs(rotated_agents[0], 4, 4))


def test_changing_the_core_and_heldout_ticks_leaves_anchors_unchanged(rotated_agents):
    changed = with_core_dim(with_heldout(rotated_agents[0], 50), 2)

    assert changed.heldout.core().shape == (50, 2)
    assert changed.core_dim == 2
    assert torch.equal(changed.anchors.vectors, rotated_agents[0].anchors.vectors)


def test_without_a_core_r2_is_zero(rotated_agents):
    empty = [with_core_dim(agent, 0) for agent in rotated_agents]

    assert fitted_r2(fit_core, choose_pairs(empty[0], 8, 0), *empty[:2]).score == 0


@pytest.mark.parametrize("name", ["Autoencoder", "MaskedAutoencoder", "SimClr"])
def test_baselines_meet_the_contract_of_world_models(name):
    models = [build_world_model(BASELINES + name, SIZES, 16, (seed,)) for seed in range(2)]

    check_world_model(models[0], 16, 4, lambda: models[1])


def test_a_masked_autoencoder_is_scored_on_masked_patches():
    model = build_world_model(BASELINES + "MaskedAutoencoder", SIZES, 32, (0,))
    assert isinstance(model, MaskedAutoencoder)
    visible, masked = model.corrupt(torch.ones(5, 3, 32, 32), torch.Generator().manual_seed(0))

    assert torch.equal(visible, (1 - masked).expand_as(visible))
    assert masked.mean((1, 2, 3)).tolist() == [0.75] * 5


def test_augmentations_keep_brightness_and_differ():
    frames = random_frames(4, 32, 32, 3) // 4 + 96
    first, second = (augment(frames, torch.Generator().manual_seed(seed)) for seed in (0, 1))

    assert first.shape == frames.shape
    assert first.dtype == torch.uint8
    assert not torch.equal(first, second)
    assert (first.float().mean((1, 2, 3)) / frames.float().mean((1, 2, 3)) - 1).abs().max() < 0.25


def test_pixel_pca_finds_the_planted_directions_of_frames():
    model = PixelPca(SIZES, 16)
    factors = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([8.0, 4, 2, 1])
    directions = torch.linalg.qr(torch.randn(768, 4, generator=torch.Generator().manual_seed(1)))[0]
    frames = (128 + 10 * factors @ directions.T).round().to(torch.uint8).view(64, 16, 16, 3)
    model.calibrate(frames)

    latents = model.encode(frames)
    # rounding to bytes is about as large as the contribution of the weakest direction
    assert latents.var(0).argsort(descending=True).tolist() == [0, 1, 2, 3]
    assert all(np.corrcoef(latents[:, k], factors[:, k])[0, 1] ** 2 > 0.8 for k in range(2))


def test_a_supervised_model_learns_positions_and_names_missing_targets():
    model = build_world_model(BASELINES + "Supervised", SIZES, 16, (0,))
    assert isinstance(model, Supervised)
    frames, generator = random_frames(4, 2, 16, 16, 3), torch.Generator()
    targets = model.encode(frames.flatten(0, 1))[:, :2].detach().view(4, 2, 2).numpy()

    loss = model.loss(frames, generator, SensorData(targets=targets))[0]
    assert loss.item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="positions"):
        model.loss(frames, generator)


def test_methods_see_the_same_frames_and_the_control_trains_on_other_ticks():
    setup = tiny_setup(steps=8, segments=8, replay_ticks=256, core_eval_ticks=64)
    poses = ring_poses(setup, 3)
    jepa, views = train_all(METHODS["jepa"], setup, 0, (0,), poses, discard)
    other, same = train_all(METHODS["autoencoder"], setup, 0, (0,), poses, discard)
    later, _ = train_one(METHODS["jepa"], setup, 0, 0, poses, discard, later=512)

    assert np.array_equal(views, same)
    assert jepa[0].frames == other[0].frames > 0
    assert other[0].flops > jepa[0].flops > 0
    assert jepa[0].heldout.ids == later.heldout.ids
    assert not torch.equal(jepa[0].heldout.vectors, later.heldout.vectors)


@pytest.mark.parametrize(
    "change",
    [
        {"max_pairs": 100},
        {"few_pairs": 128},
        {"agents": 2},
        {"long_multiplier": 0},
        {"setup": AgentSetup(model=ModelConfig(dim=4))},
    ],
)
def test_settings_that_compare_nothing_are_refused(change):
    with pytest.raises(ValueError, match="="):
        Settings(**change)


def test_all_conditions_run_and_equal_arguments_give_equal_scores():
    condition_results = {(name, 0): run(name, 0, TINY, discard) for name in EXPERIMENT.conditions(TINY)}
    again = run("untrained", 0, TINY, discard)
    for name, score in again.scores.items():
        assert np.array_equal(score.values, condition_results["untrained", 0].scores[name].values)

    results = Results(condition_results, [0])
    metrics = EXPERIMENT.metrics(results, TINY)
    assert all(np.isfinite(metric.estimate.value) for metric in metrics)
    assert len([metric for metric in metrics if metric.threshold]) == 6
    assert condition_results["untrained", 0].flops == 0 < condition_results["simclr", 0].flops
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))
    assert len({metric.name for metric in metrics}) == len(metrics)
    by_name = {metric.name: metric for metric in metrics}
    nulls = [results.mean(condition, "shuffled, leading axes") for condition in ("jepa", "simclr")]
    assert by_name["JEPA minus SimCLR"].null == nulls[0] - nulls[1]
    assert by_name["SimCLR: all dimensions"].null == results.mean("simclr", "shuffled, all dimensions")
    assert by_name["SimCLR: state"].null is None
    assert by_name["SimCLR: state"].baseline == by_name["JEPA, whitened: state"].estimate.value
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()


def test_the_state_note_names_only_baselines_whose_probe_is_worse():
    r2 = {"jepa": 0.9, "autoencoder": 0.3, "masked-autoencoder": 0.9, "simclr": 0.95}
    noise = np.random.default_rng(0).uniform(0.5, 1.5, 200)
    scores = {name: {"state": Score((1 - share) * noise, np.ones(200))} for name, share in r2.items()}
    found = {(name, seed): ConditionResult(score) for name, score in scores.items() for seed in (0, 1)}
    note = state_note(Results(found, [0, 1]))

    assert [word in note for word in ("autoencoder 0.", "masked", "SimCLR")] == [True, False, False]


def test_the_long_schedule_has_as_many_anchors_as_its_largest_number_of_pairs():
    setup = Settings().long_setup

    assert setup.negotiation.pool_ticks == 4096 > NegotiationConfig().pool_ticks
    assert setup.training.steps == 900
    assert setup.training.replay_ticks == 98304

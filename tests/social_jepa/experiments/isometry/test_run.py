"""Laws of the isometry experiment and of the methods that it compares."""

from functools import partial

import numpy as np
import pytest
import torch

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model
from agents.protocol.settings import NegotiationConfig
from agents.settings import ModelConfig
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from alignment.edge_score import fit_core
from alignment.fit import fit_ridge
from env.recording import SensorData
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.baselines import MaskedAutoencoder, PixelPca, Supervised, augment
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup, TrainedAgent, ring_poses
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.isometry import run as isometry
from social_jepa.experiments.isometry.methods import METHODS, RIVALS, raise_all, raise_one
from social_jepa.experiments.isometry.metrics import held_note
from social_jepa.experiments.isometry.scores import (
    budget_scores,
    choices,
    chosen_r2,
    leading,
    rolled,
    scored_on,
    shape_scores,
    shuffled,
)

SIZES = ModelConfig(dim=4, width=4, hidden=16)


def course(**training):
    pools = {"pool_ticks": 128, "anchors": 64, "heldout": 64}
    changed = {"training": {**QUICK_SETUP["training"], **training}, "negotiation": pools}
    return build_config(AgentSetup, {**QUICK_SETUP, **changed}, [])


TINY = isometry.Settings(
    course(steps=20, replay_ticks=512, core_eval_ticks=128), agents=3, pairs=64, scored=128, long=1
)


def quiet(text):
    del text


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def planted(name, seed, stretch=1.0, rows=256, dim=3):
    """A stranger whose core is a turn of common coordinates, one of which it may stretch."""
    common = torch.Generator().manual_seed(7)
    sets = [torch.randn(rows, dim, generator=common, dtype=torch.float64) for _ in range(2)]
    own = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=own, dtype=torch.float64))[0]
    scale = torch.tensor([stretch, 1.0, 1.0], dtype=torch.float64)
    anchors, heldout = (AnchorSet(tuple(range(rows)), (z * scale) @ turn, dim) for z in sets)
    basis = CoreBasis(torch.zeros(dim), torch.eye(dim), torch.full((dim,), 0.7), dim)
    return TrainedAgent(name, torch.nn.Identity(), basis, anchors, heldout, None, 0, 0.0)


@pytest.fixture
def turned():
    return [planted(f"agent-{seed}", seed) for seed in range(3)]


def test_a_planted_rotation_is_found_by_every_fit_from_as_many_pairs_as_dimensions(turned):
    found = budget_scores(turned, (1, 4, 64), 0)

    for name in ("procrustes", "robust", "universe"):
        assert found[f"{name}, 1"].score < 0.9 < 0.999 < found[f"{name}, 4"].score
    assert 0.9 < found["ridge, 64"].score < found["procrustes, 64"].score
    assert found["unmapped, 0"].score < 0.5


def test_a_rotation_has_the_shape_of_an_isometry_and_a_stretch_has_not(turned):
    shape = shape_scores(turned, 64, 0)
    other = shape_scores([turned[0], planted("stretched", 1, stretch=2.0)], 64, 0)

    assert shape["isometry deviation"].score < 1e-6
    assert shape["condition number"].score == pytest.approx(1)
    assert shape["retrieval at 1"].score == shape["mutual 10 nearest neighbours"].score == 1
    assert other["largest singular value"].score == pytest.approx(2)
    assert other["smallest singular value"].score == pytest.approx(0.5)
    assert other["condition number"].score == pytest.approx(2)


@pytest.mark.parametrize("lose", [partial(shuffled, seed=0), rolled])
def test_nulls_lose_who_belongs_to_whom_and_nothing_else(turned, lose):
    lost = lose(turned)

    for before, after in zip(turned, lost, strict=True):
        assert torch.equal(before.heldout.vectors.sort(0).values, after.heldout.vectors.sort(0).values)
    rows = choices(lost[0], 128, 0)
    assert abs(chosen_r2(fit_ridge, rows, *lost[:2]).score) < 0.15
    assert chosen_r2(fit_core, rows, *lost[:2]).score < -0.4
    assert shape_scores(lost, 64, 0)["retrieval at 1"].score < 0.05


def test_a_larger_budget_adds_pairs_and_all_pairs_are_one_choice(turned):
    few, many = (choices(turned[0], pairs, 3) for pairs in (4, 16))

    assert torch.equal(few, many[:, :4])
    assert few.shape == (16, 4)
    assert len(choices(turned[0], 256, 3)) == 1
    assert not torch.equal(few, choices(turned[0], 4, 4))


def test_fewer_held_out_ticks_and_leading_axes_leave_the_rest_alone(turned):
    less = leading(scored_on(turned[0], 50), 2)

    assert less.heldout.core().shape == (50, 2)
    assert less.core_dim == 2
    assert torch.equal(less.anchors.vectors, turned[0].anchors.vectors)


def test_without_a_core_there_is_nothing_to_tell(turned):
    none = [leading(stranger, 0) for stranger in turned]

    assert chosen_r2(fit_core, choices(none[0], 8, 0), *none[:2]).score == 0


@pytest.mark.parametrize("name", ["Autoencoder", "MaskedAutoencoder", "SimClr"])
def test_rivals_meet_the_contract_of_world_models(name):
    models = [build_world_model(RIVALS + name, SIZES, 16, (seed,)) for seed in range(2)]

    check_world_model(models[0], 16, 4, lambda: models[1])


def test_a_masked_autoencoder_is_scored_on_what_it_was_not_shown():
    model = build_world_model(RIVALS + "MaskedAutoencoder", SIZES, 32, (0,))
    assert isinstance(model, MaskedAutoencoder)
    shown, wanted = model.task(torch.ones(5, 3, 32, 32), torch.Generator().manual_seed(0))

    assert torch.equal(shown, (1 - wanted).expand_as(shown))
    assert wanted.mean((1, 2, 3)).tolist() == [0.75] * 5


def test_views_keep_what_is_seen_and_differ():
    frames = noise(4, 32, 32, 3) // 4 + 96
    first, second = (augment(frames, torch.Generator().manual_seed(seed)) for seed in (0, 1))

    assert first.shape == frames.shape
    assert first.dtype == torch.uint8
    assert not torch.equal(first, second)
    assert (first.float().mean((1, 2, 3)) / frames.float().mean((1, 2, 3)) - 1).abs().max() < 0.25


def test_pixel_pca_finds_the_planted_directions_of_a_picture():
    model = PixelPca(SIZES, 16)
    lights = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([8.0, 4, 2, 1])
    fields = torch.linalg.qr(torch.randn(768, 4, generator=torch.Generator().manual_seed(1)))[0]
    frames = (128 + 10 * lights @ fields.T).round().to(torch.uint8).view(64, 16, 16, 3)
    model.calibrate(frames)

    codes = model.encode(frames)
    # bytes round the picture to about what the faintest direction shows
    assert codes.var(0).argsort(descending=True).tolist() == [0, 1, 2, 3]
    assert all(np.corrcoef(codes[:, k], lights[:, k])[0, 1] ** 2 > 0.8 for k in range(2))


def test_a_supervised_model_learns_where_things_are_and_says_what_it_misses():
    model = build_world_model(RIVALS + "Supervised", SIZES, 16, (0,))
    assert isinstance(model, Supervised)
    frames, draw = noise(4, 2, 16, 16, 3), torch.Generator()
    told = model.encode(frames.flatten(0, 1))[:, :2].detach().view(4, 2, 2).numpy()

    assert model.loss(frames, draw, SensorData(targets=told))[0].item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="positions"):
        model.loss(frames, draw)


def test_methods_see_the_same_frames_and_the_control_sees_none_of_them():
    up = course(steps=8, segments=8, replay_ticks=256, core_eval_ticks=64)
    poses = ring_poses(up, 3)
    jepa, views = raise_all(METHODS["jepa"], up, 0, (0,), poses, quiet)
    other, same = raise_all(METHODS["autoencoder"], up, 0, (0,), poses, quiet)
    later, _ = raise_one(METHODS["jepa"], up, 0, 0, poses, quiet, later=512)

    assert np.array_equal(views, same)
    assert jepa[0].frames == other[0].frames > 0
    assert other[0].flops > jepa[0].flops > 0
    assert jepa[0].heldout.ids == later.heldout.ids
    assert not torch.equal(jepa[0].heldout.vectors, later.heldout.vectors)


@pytest.mark.parametrize(
    "change",
    [
        {"pairs": 100},
        {"few": 128},
        {"agents": 2},
        {"long": 0},
        {"upbringing": AgentSetup(model=ModelConfig(dim=4))},
    ],
)
def test_settings_that_compare_nothing_are_refused(change):
    with pytest.raises(ValueError, match="="):
        isometry.Settings(**change)


def test_all_parts_run_and_equal_arguments_give_equal_outcomes():
    parts = isometry.EXPERIMENT.conditions(TINY)
    outcomes = {(part, 0): isometry.run(part, 0, TINY, quiet) for part in parts}
    again = isometry.run("untrained", 0, TINY, quiet)
    for name, measure in again.scores.items():
        assert np.array_equal(measure.values, outcomes["untrained", 0].scores[name].values)

    results = Results(outcomes, [0])
    figures = isometry.figures(results, TINY)
    assert all(np.isfinite(figure.estimate.value) for figure in figures)
    assert len([figure for figure in figures if figure.threshold]) == 8
    assert outcomes["untrained", 0].flops == 0 < outcomes["simclr", 0].flops
    assert all(isinstance(note, str) for note in isometry.notes(results, TINY))
    assert len({figure.name for figure in figures}) == len(figures)
    shown = {figure.name: figure for figure in figures}
    chance = [results.mean(part, "shuffled, leading axes") for part in ("jepa", "simclr")]
    assert shown["JEPA minus SimCLR"].null == chance[0] - chance[1]
    assert shown["SimCLR: all dimensions"].null == results.mean("simclr", "shuffled, all dimensions")
    assert shown["SimCLR: state"].null is None
    assert shown["SimCLR: state"].baseline == shown["JEPA, whitened: state"].estimate.value
    for picture in isometry.pictures(results, TINY).values():
        picture.canvas.draw()


def test_the_note_names_the_rivals_that_hold_less_of_the_state_and_no_others():
    held = {"jepa": 0.9, "autoencoder": 0.3, "masked-autoencoder": 0.9, "simclr": 0.95}
    spread = np.random.default_rng(0).uniform(0.5, 1.5, 200)
    found = {part: {"state": Score((1 - share) * spread, np.ones(200))} for part, share in held.items()}
    said = held_note(Results({(part, 0): ConditionResult(measures) for part, measures in found.items()}, [0]))

    assert [word in said for word in ("autoencoder 0.", "masked", "SimCLR")] == [True, False, False]


def test_the_long_course_has_as_many_anchors_as_its_largest_budget():
    longer = isometry.Settings().longer

    assert longer.negotiation.pool_ticks == 4096 > NegotiationConfig().pool_ticks
    assert longer.training.steps == 900
    assert longer.training.replay_ticks == 49152

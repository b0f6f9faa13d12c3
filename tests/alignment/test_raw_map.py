import math

import numpy as np
import pytest
import torch

from alignment.core import find_core
from alignment.raw_map import raw_metric, score_raw

DIM = 5


def normal(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def rotation(seed, dim=DIM):
    return torch.linalg.qr(normal(seed, dim, dim)).Q


def white(latents, seed):
    """Return white coordinates of latents, in axes of their own, and the metric of the latents."""
    mean = latents.mean(0)
    values, axes = torch.linalg.eigh((latents - mean).T @ (latents - mean) / len(latents))
    transform = axes / values.sqrt() @ rotation(seed, latents.shape[1])
    return (latents - mean) @ transform, raw_metric(transform)


def scored(source, target, rows=200):
    (x, g_x), (y, g_y) = white(source, 11), white(target, 12)
    return score_raw((x[:rows], y[:rows]), (x[rows:], y[rows:]), (g_x, g_y))


def test_a_rotation_with_one_scale_and_an_offset_is_found_in_axes_that_hide_it():
    source = normal(0, 600, DIM) * torch.tensor([3.0, 2, 1, 0.5, 0.2])
    score = scored(source, 7 * source @ rotation(1) + 4)

    assert score.directions == DIM
    assert score.r2 == pytest.approx(1, abs=1e-9)
    assert score.r2_similarity == pytest.approx(1, abs=1e-9)
    assert score.kappa == pytest.approx(1, abs=1e-6)
    assert score.largest == pytest.approx(7)


def test_a_planted_condition_number_is_found_and_no_similarity_explains_it():
    source = normal(0, 600, DIM)
    stretch = torch.diag(torch.tensor([4.0, 3, 2, 2, 0.5], dtype=torch.float64))
    score = scored(source, source @ rotation(1) @ stretch @ rotation(2))

    assert score.kappa == pytest.approx(8)
    assert (score.largest, score.smallest) == (pytest.approx(4), pytest.approx(0.5))
    assert score.r2 == pytest.approx(1)
    assert score.r2_similarity < 0.95


def test_scores_are_those_of_the_raw_latents_themselves():
    source = normal(0, 600, DIM) @ normal(3, DIM, DIM)
    target = source[:, :4] @ normal(4, 4, 4) + 0.3 * normal(5, 600, 4)
    score = scored(source, target)
    x, y = source[:200] - source[:200].mean(0), target[:200] - target[:200].mean(0)
    weight = torch.linalg.lstsq(x, y).solution
    rest = target[200:] - target[:200].mean(0) - (source[200:] - source[:200].mean(0)) @ weight
    spread = target[200:] - target[200:].mean(0)
    values = torch.linalg.svdvals(weight)

    assert score.r2 == pytest.approx(float(1 - rest.square().sum() / spread.square().sum()), abs=1e-6)
    assert score.kappa == pytest.approx(float(values[0] / values[-1]), rel=1e-5)


def test_no_score_depends_on_a_rotation_of_the_raw_latents_and_r2_on_no_common_scale():
    source = normal(0, 600, DIM) @ normal(3, DIM, DIM)
    target = source @ normal(4, DIM, DIM) + 0.3 * normal(5, 600, DIM)
    score, turned = scored(source, target), scored(source @ rotation(6), target @ rotation(7))
    larger = scored(10 * source, target)

    for name in ("r2", "r2_similarity", "kappa", "largest", "smallest"):
        assert getattr(turned, name) == pytest.approx(getattr(score, name), rel=1e-6)
    for name in ("r2", "r2_similarity", "kappa"):
        assert getattr(larger, name) == pytest.approx(getattr(score, name), rel=1e-6)


def test_directions_alone_are_scored_without_what_is_private():
    common, private = normal(0, 600, 3), [normal(seed, 600, 2) for seed in (1, 2)]
    source, target = (torch.cat([common, 5 * rows], 1) for rows in private)
    identity = torch.eye(DIM, dtype=torch.float64)
    metric = torch.diag(torch.tensor([1.0, 1, 1, 25, 25], dtype=torch.float64))
    coordinates = [rows / metric.diagonal().sqrt() for rows in (source, target)]
    fit, held = ([rows[part] for rows in coordinates] for part in (slice(200), slice(200, None)))
    every = score_raw(fit, held, (metric, metric))
    strong = score_raw(fit, held, (metric, metric), (identity[:, :3], identity[:, :3]))

    assert strong.directions == 3
    assert strong.r2_similarity == pytest.approx(1)
    assert every.r2 < 0.2


def test_latents_without_variance_give_the_worst_score_and_no_nan():
    metric = torch.zeros(DIM, DIM, dtype=torch.float64)
    rows = normal(0, 64, DIM)
    score = score_raw((rows, rows), (rows, rows), (metric, metric))

    assert (score.r2, score.r2_similarity, score.kappa) == (0, 0, math.inf)


def test_the_metric_of_a_basis_gives_back_the_lengths_of_the_latents():
    latents = normal(0, 500, DIM).cumsum(0).diff(dim=0) @ normal(1, DIM, DIM)
    basis = find_core(latents)
    coordinates, metric = basis(latents), raw_metric(basis.transform)

    lengths = torch.einsum("kd,de,ke->k", coordinates, metric, coordinates)
    assert torch.allclose(lengths, (latents - basis.mean).square().sum(1), rtol=1e-3)

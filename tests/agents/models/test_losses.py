import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from agents.models.losses import (
    covariance_loss,
    log_det_loss,
    prediction_loss,
    sigreg_loss,
    variance_loss,
    whitened_prediction_loss,
)

DIM = 4


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def process(rates, steps=4000, seed=0):
    """Consecutive latents of independent Ornstein-Uhlenbeck factors: (now, next), [steps, D] each."""
    rates = torch.tensor(rates, dtype=torch.float64)
    rows = [normal(len(rates), seed=seed)]
    for noise in normal(steps, len(rates), seed=seed + 1):
        rows.append(rates * rows[-1] + (1 - rates**2).sqrt() * noise)
    return torch.stack(rows[:-1]), torch.stack(rows[1:])


def white(rows=64, dim=DIM):
    """Latents whose covariance is exactly the identity."""
    return torch.linalg.qr(normal(rows, dim) - normal(rows, dim).mean(0)).Q * rows**0.5


@pytest.mark.parametrize("seed", range(3))
def test_the_whitened_loss_of_many_pairs_is_invariant_to_invertible_linear_maps(seed):
    now, then = process([0.9, 0.7, 0.5, 0.2], steps=40_000)
    turns = [torch.linalg.qr(normal(DIM, DIM, seed=seed + 10 * k)).Q for k in (1, 2)]
    mix, shift = turns[0] * torch.tensor([0.5, 1, 1, 2]) @ turns[1], normal(DIM, seed=seed + 30)
    plain = whitened_prediction_loss(now, then, ridge=1e-12)
    mixed = whitened_prediction_loss(now @ mix + shift, then @ mix + shift, ridge=1e-12)

    assert float(mixed) == pytest.approx(float(plain), abs=2e-3)  # the ridge is not invariant


def test_the_whitened_loss_with_a_ridge_is_invariant_to_rotation_scale_and_shift():
    now, then = process([0.9, 0.7, 0.5, 0.2])
    turn = torch.linalg.qr(normal(DIM, DIM, seed=3)).Q
    plain = whitened_prediction_loss(now, then)
    for scale in (0.1, 1.0, 50.0):
        moved = whitened_prediction_loss(scale * now @ turn + 7, scale * then @ turn + 7)
        assert float(moved) == pytest.approx(float(plain), abs=1e-5)


@pytest.mark.parametrize("bend", [torch.square, torch.exp, lambda z: torch.sin(3 * z)])
def test_the_whitened_loss_of_a_nonlinear_function_is_higher(bend):
    """Nonlinear functions of a factor decorrelate faster than the factor, so the optimum is linear in it."""
    now, then = process([0.8, 0.8])

    assert whitened_prediction_loss(bend(now), bend(then)) > whitened_prediction_loss(now, then) + 0.05


def influence_variance(segments, ridge):
    """The loss of segments [N, T, 2, D] by a jackknife in numbers: weigh one segment a little more."""

    def estimate(weights):
        rows = segments.reshape(-1, *segments.shape[2:])
        share = np.repeat(weights, segments.shape[1]) / (2 * segments.shape[1] * weights.sum())
        now, then = rows[:, 0], rows[:, 1]
        covariance = (now.T * share) @ now + (then.T * share) @ then
        lagged = (now.T * share) @ then + (then.T * share) @ now
        return covariance, lagged

    count, dim = len(segments), segments.shape[-1]
    covariance, _ = estimate(np.ones(count))
    padding = ridge * np.trace(covariance) / dim * np.eye(dim)

    def score_matrix(weights):
        """C in whitened coordinates that do not move with the weights: S0^1/2 S^-1 A S0^-1/2."""
        current, lagged = estimate(weights)
        values, axes = np.linalg.eigh(current + padding)
        root = (axes / np.sqrt(values)) @ axes.T
        return root @ lagged @ root

    whole, step, total = score_matrix(np.ones(count)), 1e-5, 0.0
    for segment in range(count):
        weights = np.ones(count)
        weights[segment] += step
        total += np.square((score_matrix(weights) - whole) / step).sum()
    return dim - np.square(whole).sum() + total * count / (count - 1)


@pytest.mark.parametrize("pairs", [1, 3])
def test_the_whitened_loss_is_the_error_of_the_best_linear_predictor_corrected_by_a_jackknife(pairs):
    """Computed with numpy: whiten with the symmetric root, regress, and move every segment's weight."""
    now, then = process([0.9, 0.6, 0.3], steps=900)
    rows = torch.stack([now, then], 1)
    segments = (rows - rows.mean((0, 1))).reshape(-1, pairs, 2, 3)
    expected = influence_variance(segments.numpy(), 3 * 4 / 16 / 900)
    found = whitened_prediction_loss(segments[:, :, 0], segments[:, :, 1], ridge=1e-12)

    assert float(found) == pytest.approx(expected, abs=1e-4)
    both = np.concatenate([rows.numpy(), rows.numpy()[:, ::-1]])  # a reversible process
    both = both - both.mean(axis=(0, 1))
    values, axes = np.linalg.eigh(np.cov(both[:, 0].T, bias=True))
    x, y = (both @ (axes / np.sqrt(values)) @ axes.T).transpose(1, 0, 2)
    missed = ((y - x @ np.linalg.lstsq(x, y)[0]) ** 2).mean(0).sum()
    assert float(found) == pytest.approx(missed, abs=0.05)  # of so many pairs the correction is small


@pytest.mark.parametrize("tails", [lambda z: z, lambda z: z.sign() * z.abs() ** 1.5])
def test_the_whitened_loss_of_noise_is_near_d_where_pairs_are_few(tails):
    """Fitted and scored on the same 192 pairs, noise of 32 dimensions would reach 32 - 2.75."""
    found = [
        float(whitened_prediction_loss(latent[:, :-1], latent[:, 1:]))
        for latent in (tails(normal(64, 4, 32, seed=seed)) for seed in range(40))
    ]

    assert np.mean(found) == pytest.approx(32, abs=0.3)


def test_the_whitened_loss_of_segments_depends_on_neither_their_order_nor_the_direction_of_time():
    now, then = (rows.reshape(50, 4, 3) for rows in process([0.9, 0.6, 0.3], steps=200))
    plain, order = float(whitened_prediction_loss(now, then)), torch.randperm(50)

    assert float(whitened_prediction_loss(now[order], then[order])) == pytest.approx(plain)
    assert float(whitened_prediction_loss(then, now)) == pytest.approx(plain)
    assert float(
        whitened_prediction_loss(now.flatten(0, 1)[None], then.flatten(0, 1)[None])
    ) == pytest.approx(
        float(whitened_prediction_loss(now.flatten(0, 1), then.flatten(0, 1)))
    )  # one segment: its pairs count as independent


def test_the_whitened_loss_is_0_for_predictable_latents_and_d_for_noise():
    rows = normal(20000, DIM)
    assert float(whitened_prediction_loss(rows, rows, ridge=1e-9)) == pytest.approx(0, abs=4e-3)
    assert float(whitened_prediction_loss(rows, normal(20000, DIM, seed=1))) == pytest.approx(DIM, abs=0.01)
    now, then = process([0.7] * DIM, steps=20000)
    assert float(whitened_prediction_loss(now, then)) == pytest.approx(DIM * (1 - 0.7**2), abs=0.1)


@pytest.mark.parametrize("waste", ["constant", "repeated", "mixed"])
def test_a_redundant_dimension_costs_as_much_as_noise(waste):
    now, then = process([0.9, 0.8, 0.7])
    extra = {
        "constant": lambda rows: torch.ones(len(rows), 1, dtype=rows.dtype),
        "repeated": lambda rows: rows[:, :1],
        "mixed": lambda rows: rows.sum(1, keepdim=True),
    }[waste]
    plain = whitened_prediction_loss(now, then)
    wider = whitened_prediction_loss(torch.cat([now, extra(now)], 1), torch.cat([then, extra(then)], 1))

    assert float(wider - plain) == pytest.approx(1, abs=0.01)


def test_latents_that_are_not_finite_give_a_nan_loss():
    """Cholesky would raise a linear-algebra error without a remedy."""
    now, then = process([0.5, 0.5], steps=20)
    for spoilt in (torch.nan, torch.inf):
        now[3, 1] = spoilt
        assert math.isnan(whitened_prediction_loss(now, then))


def test_prediction_is_the_mean_squared_error_per_dimension():
    assert prediction_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 5.0]])) == 4.5


def test_vicreg_terms_match_values_computed_by_hand():
    rows = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0]])  # variances 1 and 4, covariance 2
    assert float(variance_loss(rows)) == 0.0
    assert float(variance_loss(rows / 2)) == pytest.approx((1 - math.sqrt(0.25 + 1e-4)) / 2)
    assert float(variance_loss(torch.zeros(3, 2))) == pytest.approx(0.99)
    assert float(covariance_loss(rows)) == pytest.approx((2**2 + 2**2) / 2)
    assert float(covariance_loss(rows * torch.tensor([1.0, 0.0]))) == 0.0


def test_log_det_is_zero_exactly_for_white_latents():
    flat = white()
    assert float(log_det_loss(flat)) == pytest.approx(0, abs=1e-7)
    assert float(log_det_loss(flat + 5)) == pytest.approx(0, abs=1e-7)
    for bent in (1.2 * flat, 0.8 * flat, flat * torch.tensor([1, 1, 1, 0.5]), flat @ normal(DIM, DIM)):
        assert log_det_loss(bent) > 1e-3
    assert math.isfinite(log_det_loss(torch.zeros(8, DIM)))


def test_log_det_is_the_divergence_of_two_gaussians():
    rows = normal(200, DIM) @ normal(DIM, DIM, seed=2)
    covariance = np.cov(rows.numpy().T, bias=True) + 1e-4 * np.eye(DIM)
    divergence = (np.trace(covariance) - DIM - np.linalg.slogdet(covariance)[1]) / 2

    assert float(log_det_loss(rows)) == pytest.approx(2 * divergence / DIM)


def statistic(points):
    """The Epps-Pulley statistic of a sample by adaptive quadrature, [N]."""

    def gap(t):
        empirical = np.exp(1j * t * points).mean()
        return abs(empirical - math.exp(-(t**2) / 2)) ** 2 * math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)

    return len(points) * quad(gap, -12, 12, limit=200)[0]


def closed_form(points):
    """The same, integrated by hand (Epps and Pulley 1983; the BHEP statistic with smoothing 1)."""
    apart = (points[:, None] - points[None]) ** 2
    return (
        np.exp(-apart / 2).sum() / len(points)
        - math.sqrt(2) * np.exp(-(points**2) / 4).sum()
        + len(points) / math.sqrt(3)
    )


@pytest.mark.parametrize("shape", [lambda x: x, lambda x: x + 1, lambda x: 0.3 * x, lambda x: x.sign()])
def test_sigreg_on_one_dimension_is_the_epps_pulley_statistic(shape):
    rows = shape(normal(60, 1))
    found = sigreg_loss(rows.float(), torch.Generator().manual_seed(0), slices=3)

    assert float(found) == pytest.approx(statistic(rows[:, 0].numpy()), rel=1e-3)
    assert float(found) == pytest.approx(closed_form(rows[:, 0].numpy()), rel=1e-3)


def test_sigreg_is_the_mean_over_random_directions():
    rows = normal(50, 3).abs().float()
    directions = torch.randn(3, 8, generator=torch.Generator().manual_seed(5))
    directions /= directions.norm(dim=0)
    expected = np.mean([closed_form(slice_.double().numpy()) for slice_ in (rows @ directions).T])

    found = sigreg_loss(rows, torch.Generator().manual_seed(5), slices=8)
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_sigreg_is_near_its_mean_for_white_gaussians_and_larger_for_other_distributions():
    """For a standard normal sample the statistic has mean 1 - 1 / sqrt(3)."""
    rows = normal(500, DIM).float()

    def loss(latent):
        return float(sigreg_loss(latent, torch.Generator().manual_seed(1)))

    assert loss(rows) == pytest.approx(1 - 1 / math.sqrt(3), abs=0.3)
    others = {
        "uniform": (torch.rand(500, DIM, generator=torch.Generator().manual_seed(2)) - 0.5) * 12**0.5,
        "collapsed": torch.zeros(500, DIM),
        "one dimension lost": rows * torch.tensor([1, 1, 1, 0]),
        "shifted": rows + 0.3,
        "wide": 1.3 * rows,
        "one dimension repeated": rows[:, [0, 1, 2, 2]],
    }
    assert all(loss(latent) > 2 * loss(rows) for latent in others.values())


@pytest.mark.parametrize(
    "loss",
    [
        lambda z: whitened_prediction_loss(z[:-1], z[1:]),
        variance_loss,
        covariance_loss,
        log_det_loss,
        lambda z: sigreg_loss(z, torch.Generator().manual_seed(0)),
    ],
)
def test_every_term_has_a_finite_gradient_for_collapsed_latents(loss):
    for latent in (0.1 * normal(40, DIM).float(), torch.full((40, DIM), 3.0)):
        latent.requires_grad_()
        value = loss(latent)
        value.backward()
        assert value.shape == ()
        assert torch.isfinite(value)
        assert torch.isfinite(latent.grad).all()

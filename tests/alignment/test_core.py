import pytest
import torch

from alignment.core import autocorrelations, effective_rank, find_core, resort_basis
from alignment.fit import fit_procrustes, fit_ridge
from alignment.score import r2

FACTORS, RHO = 3, 0.7


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def ornstein_uhlenbeck(generator, ticks, rho=RHO, factors=FACTORS, segments=1):
    """Stationary factors with lag-1 autocorrelation rho, [segments, ticks, factors]."""
    state, path = normal(generator, segments, factors), []
    for _ in range(ticks):
        path.append(state)
        state = rho * state + (1 - rho**2) ** 0.5 * normal(generator, segments, factors)
    return torch.stack(path, dim=1)


def with_quadratics(factors):
    """The factors, and all their products: functions of degree two, with autocorrelation rho^2."""
    i, j = torch.triu_indices(factors.shape[-1], factors.shape[-1])
    return torch.cat([factors, factors[..., i] * factors[..., j]], dim=-1)


@pytest.fixture(scope="module")
def world():
    generator = torch.Generator().manual_seed(0)
    factors = ornstein_uhlenbeck(generator, ticks=400, segments=50)
    features = with_quadratics(factors)
    mixing = normal(generator, features.shape[-1], features.shape[-1])
    return factors, features @ mixing + 5.0  # [50, 400, 3], [50, 400, 9]


def test_the_core_of_mixed_factors_and_their_products_is_the_factors(world):
    factors, latents = world
    basis = find_core(latents[:40])

    assert basis.core_dim == FACTORS
    core, truth = basis.core(latents[40:]).flatten(0, 1), factors[40:].flatten(0, 1)
    turned = fit_procrustes(core[:500], truth[:500])
    assert r2(turned(core[500:]), truth[500:]) > 0.98


def test_held_out_autocorrelations_are_rho_and_rho_squared(world):
    _, latents = world

    spectrum = autocorrelations(latents[40:], find_core(latents[:40]))

    torch.testing.assert_close(spectrum[:3], torch.full((3,), RHO, dtype=torch.float64), atol=0.04, rtol=0)
    torch.testing.assert_close(spectrum[3:], torch.full((6,), RHO**2, dtype=torch.float64), atol=0.06, rtol=0)


def test_coordinates_are_white_sorted_and_deterministic(world):
    _, latents = world
    basis, again = find_core(latents), find_core(latents.clone())

    covariance = torch.cov(basis(latents).flatten(0, 1).T)

    torch.testing.assert_close(covariance, torch.eye(9, dtype=torch.float64), atol=0.01, rtol=0)
    assert basis.spectrum.tolist() == sorted(basis.spectrum.tolist(), reverse=True)
    assert torch.equal(basis.transform, again.transform)
    largest = basis.transform.gather(0, basis.transform.abs().argmax(0, keepdim=True))
    assert (largest > 0).all()


def test_the_cores_of_two_mixtures_of_one_world_differ_by_a_rotation(world):
    factors, latents = world
    generator = torch.Generator().manual_seed(1)
    theirs = with_quadratics(factors) @ normal(generator, 9, 9) - 1.0
    mine, yours = find_core(latents[:40]), find_core(theirs[:40])
    source, target = mine.core(latents[40:]).flatten(0, 1), yours.core(theirs[40:]).flatten(0, 1)

    found = fit_procrustes(source[::50][:8], target[::50][:8])

    assert r2(found(source), target) > 0.98


def test_the_ends_of_segments_are_not_consecutive():
    """Constant segments with different values are predictable; their concatenation is not."""
    generator = torch.Generator().manual_seed(0)
    still = normal(generator, 3000, 1, 2).expand(3000, 2, 2)

    assert find_core(still).spectrum.min() > 0.99
    assert find_core(still.flatten(0, 1)).spectrum.max() < 0.6


def test_distinct_autocorrelations_identify_the_axes():
    generator = torch.Generator().manual_seed(0)
    rates = torch.tensor([0.84, 0.77, 0.70, 0.63], dtype=torch.float64)
    factors = ornstein_uhlenbeck(generator, ticks=20_000, rho=rates, factors=4)[0]
    z = factors @ normal(generator, 4, 4)

    basis = find_core(z)

    across = torch.corrcoef(torch.cat([basis(z), factors], dim=1).T)[:4, 4:].abs()
    assert basis.core_dim == 4
    torch.testing.assert_close(basis.spectrum, rates, atol=0.02, rtol=0)
    torch.testing.assert_close(across, torch.eye(4, dtype=torch.float64), atol=0.2, rtol=0)
    assert across.diagonal().min() > 0.98


@pytest.mark.parametrize("dim", [1, 4, 16])
@pytest.mark.parametrize("ticks", [200, 20_000])
def test_white_noise_has_no_core(dim, ticks):
    for seed in range(5):
        assert find_core(normal(torch.Generator().manual_seed(seed), ticks, dim)).core_dim == 0


@pytest.mark.parametrize("value", [0.0, 3.7, 1e6])
@pytest.mark.parametrize("rounding", [0.0, 1e-8])
def test_a_collapsed_encoder_has_no_core_and_no_rank(value, rounding):
    generator = torch.Generator().manual_seed(0)
    drift = ornstein_uhlenbeck(generator, ticks=500, rho=0.99, factors=8)[0]
    z = value * (1 + rounding * drift)

    basis = find_core(z)

    assert basis.core_dim == 0
    assert torch.isfinite(basis(z)).all()
    assert torch.isfinite(autocorrelations(z, basis)).all()
    assert effective_rank(z) == 0.0


@pytest.mark.parametrize(
    "rates",
    [[0.7] * 3, [0.95] * 3, [0.98, 0.95, 0.9], [0.8, 0.8, 0.6], [0.9, 0.7, 0.5]],
    ids=lambda rates: "-".join(map(str, rates)),
)
def test_the_core_is_the_factors_whatever_their_rates(rates):
    """Products of slow factors are more predictable than fast factors, and still no part of the core."""
    generator = torch.Generator().manual_seed(0)
    rates = torch.tensor(rates, dtype=torch.float64)
    factors = ornstein_uhlenbeck(generator, ticks=2, rho=rates, segments=8000)
    mixing = normal(generator, 9, 9)
    latents, later = with_quadratics(factors).split(4000)
    basis = find_core(latents @ mixing, later=later @ mixing)

    assert basis.core_dim == 3
    again = resort_basis(find_core(latents @ mixing), later @ mixing)
    torch.testing.assert_close(again.transform, basis.transform, rtol=0, atol=0)
    core, truth = basis.core(later @ mixing)[:, 0], factors[4000:, 0]
    assert r2(fit_ridge(core[:2000], truth[:2000])(core[2000:]), truth[2000:]) > 0.95
    for part in (basis.spectrum[:3], basis.spectrum[3:]):
        assert (part.diff() <= 0).all()
    assert basis.explained[:3].max() < 0.5 < 0.8 < basis.explained[3:].min()


def test_effective_rank_counts_equal_directions():
    generator = torch.Generator().manual_seed(0)
    white = torch.linalg.qr(normal(generator, 200, 6)).Q
    white = torch.linalg.qr(white - white.mean(0)).Q

    assert effective_rank(white) == pytest.approx(6)
    assert effective_rank(white[:, :1] * torch.ones(5)) == pytest.approx(1)
    assert effective_rank(100 * white @ torch.linalg.qr(normal(generator, 6, 6)).Q) == pytest.approx(6)
    assert 1 < effective_rank(white * torch.tensor([1, 0.5, 0.1, 0, 0, 0])) < 3


@pytest.mark.parametrize("z", [torch.zeros(5), torch.zeros(1, 4), torch.zeros(3, 1, 4), torch.zeros(0, 5, 4)])
def test_latents_without_consecutive_ticks_are_refused(z):
    with pytest.raises(ValueError, match="two consecutive ticks"):
        find_core(z)

import itertools
import math

import pytest
import torch

from alignment.polynomials import fit_polynomials, monomials, most_predictable_exponents


@pytest.mark.parametrize("rates", [(0.9, 0.9, 0.6), (0.5,), (0.99, 0.3), (0.7, 0.7, 0.7, 0.7)])
def test_monomials_come_in_the_order_of_their_autocorrelation(rates):
    found = [tuple(row) for row in most_predictable_exponents(torch.tensor(rates), 30).tolist()]
    every = [row for row in itertools.product(range(7), repeat=len(rates)) if 1 < sum(row) <= 6]

    def rate(powers):
        return math.prod(value**power for value, power in zip(rates, powers, strict=True))

    units = [row for row in found if sum(row) == 1]
    assert found[: len(rates)] == units
    assert len(units) == len(rates)
    assert len(set(found)) == len(found) == min(30, len(units) + len(every))
    expected = sorted((rate(row) for row in every), reverse=True)[: 30 - len(rates)]
    assert [rate(row) for row in found[len(rates) :]] == pytest.approx(expected)


def test_features_are_white_and_span_the_monomials():
    generator = torch.Generator().manual_seed(0)
    core = torch.randn(5000, 3, generator=generator, dtype=torch.float64)
    features = fit_polynomials(core, torch.tensor([0.9, 0.8, 0.3]), 12)

    white = features(core)

    torch.testing.assert_close(white.T @ white / len(white), torch.eye(12).double(), atol=1e-6, rtol=0)
    assert white.mean(0).abs().max() < 1e-6
    values = monomials(core, features.exponents)
    values = values - values.mean(0)
    solved = white @ torch.linalg.lstsq(white, values).solution
    torch.testing.assert_close(solved, values)


def test_a_constant_coordinate_and_repeated_ones_give_fewer_features():
    column = torch.randn(400, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    core = torch.cat([column, column, torch.zeros_like(column)], 1)

    features = fit_polynomials(core, torch.tensor([0.9, 0.9, 0.5]), 9)

    assert features.transform.shape[1] < 9
    assert torch.isfinite(features(core)).all()


def test_leading_axes_of_rows_are_kept():
    core = torch.randn(40, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    features = fit_polynomials(core, torch.tensor([0.9, 0.8]), 6)

    torch.testing.assert_close(features(core.reshape(20, 2, 2)).reshape(40, -1), features(core))


def test_rows_beyond_those_fitted_get_the_features_of_the_nearest_one():
    core = torch.linspace(-2, 2, 50, dtype=torch.float64)[:, None]
    features = fit_polynomials(core, torch.tensor([0.9]), 6)

    torch.testing.assert_close(features(torch.full((1, 1), 100.0).double()), features(core[-1:]))

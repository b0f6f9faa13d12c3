import pytest
import torch

from alignment.independence import explained_share, select_independent, unmix


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def white(columns):
    columns = columns - columns.mean(0)
    return columns / columns.std(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_functions_of_columns_are_told_from_new_columns(generator):
    a, b, c = normal(generator, 3, 1024)
    rows = white(torch.stack([a, b, a * b, a**2, torch.tanh(2 * a), c, b * c, a**3 - 3 * a], dim=1))

    selected, explained = select_independent(rows, torch.ones(8, dtype=torch.bool))

    assert selected == [0, 1, 5]
    assert explained[[0, 1, 5]].max() < 0.1
    assert explained[[2, 3, 4, 6, 7]].min() > 0.8


@pytest.mark.parametrize("factors", [6, 10, 16])
def test_products_of_many_columns_are_explained(factors, generator):
    columns = normal(generator, 1024, factors)
    products = columns[:, :-1] * columns[:, 1:]

    selected, explained = select_independent(
        white(torch.cat([columns, products], 1)), torch.ones(2 * factors - 1, dtype=torch.bool)
    )

    assert selected == list(range(factors))
    assert explained[factors:].min() > 0.7


def test_columns_that_are_not_allowed_explain_nothing(generator):
    a = normal(generator, 512)
    rows = white(torch.stack([a, a**2, normal(generator, 512)], dim=1))

    selected, explained = select_independent(rows, torch.tensor([False, True, True]))

    assert selected == [1, 2]
    assert explained[0] == 0


def test_noise_explains_nothing_on_held_out_rows(generator):
    rows = normal(generator, 200, 12)

    assert explained_share(rows[:100], rows[100:], list(range(8)))[8:].max() < 0.2


def test_constant_columns_and_few_rows_give_numbers(generator):
    rows = torch.cat([normal(generator, 4, 2), torch.zeros(4, 2, dtype=torch.float64)], 1)

    selected, explained = select_independent(rows, torch.tensor([True, True, False, False]))

    assert 0 in selected
    assert torch.isfinite(explained).all()


def test_a_mixture_of_a_factor_and_an_equally_predictable_power_of_another_is_separated(generator):
    a, b = normal(generator, 2, 4000)
    power, half = (a**2 - 1) * 0.5**0.5, 0.5**0.5
    rows = white(torch.stack([a, half * (b + power), half * (b - power)], dim=1))

    turned = rows @ unmix(rows, torch.diag(torch.tensor([0.9, 0.6, 0.6])).double(), noise=0.1)

    agreement = torch.corrcoef(torch.cat([turned[:, :2], torch.stack([a, b], 1)], 1).T)[:2, 2:].abs()
    assert agreement.diagonal().min() > 0.98


def test_clear_factors_are_left_as_they_are(generator):
    rows = normal(generator, 2000, 4)
    rotation = unmix(rows, torch.diag(torch.tensor([0.9, 0.8, 0.7, 0.6])).double(), noise=0.1)

    torch.testing.assert_close(rotation.abs(), torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)

import pytest
import torch

from alignment.independence import select_independent, unmix


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

    selected, explained = select_independent(rows, rows, torch.ones(8, dtype=torch.bool), noise=0.1)

    assert selected == [0, 1, 5]
    assert explained[[0, 1, 5]].max() < 0.1
    assert explained[[2, 3, 4, 6, 7]].min() > 0.8


@pytest.mark.parametrize("factors", [6, 10, 16])
def test_products_of_many_columns_are_explained(factors, generator):
    columns = normal(generator, 1024, factors)
    products = columns[:, :-1] * columns[:, 1:]

    rows = white(torch.cat([columns, products], 1))
    selected, explained = select_independent(
        rows, rows, torch.ones(2 * factors - 1, dtype=torch.bool), noise=0.1
    )

    assert selected == list(range(factors))
    assert explained[factors:].min() > 0.7


def test_columns_that_are_not_allowed_explain_nothing(generator):
    a = normal(generator, 512)
    rows = white(torch.stack([a, a**2, normal(generator, 512)], dim=1))

    selected, explained = select_independent(rows, rows, torch.tensor([False, True, True]), noise=0.1)

    assert selected == [1, 2]
    assert explained[0] == 0


def test_noise_explains_nothing_on_held_out_rows(generator):
    rows = normal(generator, 200, 12)

    selected, explained = select_independent(rows, rows, torch.ones(12, dtype=torch.bool), noise=0.1)

    assert selected == list(range(12))
    assert explained.max() < 0.2


def test_of_a_noisy_function_nothing_predictable_is_left(generator):
    factor, other = normal(generator, 2, 4001)
    for column in (factor, other):
        for tick in range(1, len(column)):
            column[tick] = 0.9 * column[tick - 1] + (1 - 0.81) ** 0.5 * column[tick]
    noisy = white(torch.stack([factor**2, other], 1)) + 1.5 * normal(generator, 4001, 2)
    rows = white(torch.cat([factor[:, None], noisy], 1))

    selected, explained = select_independent(rows[:-1], rows[1:], torch.ones(3, dtype=torch.bool), noise=0.1)

    assert selected == [0, 2]  # both of the others are noise for two thirds
    assert explained[1] < 0.5


def test_given_columns_are_kept_and_a_lower_limit_leaves_mixtures_out(generator):
    a, b = normal(generator, 2, 2048)
    mixture = 0.8**0.5 * b + 0.2**0.5 * white((a**2)[:, None])[:, 0]
    rows, allowed = white(torch.stack([a, mixture, b], 1)), torch.tensor([False, True, False])

    assert select_independent(rows, rows, allowed, noise=0.1, given=1)[0] == [0, 1]
    assert select_independent(rows, rows, allowed, noise=0.1, given=1, limit=0.1)[0] == [0]


def test_constant_columns_and_few_rows_give_numbers(generator):
    rows = torch.cat([normal(generator, 4, 2), torch.zeros(4, 2, dtype=torch.float64)], 1)

    selected, explained = select_independent(rows, rows, torch.tensor([True, True, False, False]), noise=0.1)

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

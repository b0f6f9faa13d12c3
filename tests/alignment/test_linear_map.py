import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.linear_map import LinearMap

DIMS = st.integers(1, 8)
SEEDS = st.integers(0, 2**32)


def random_map(generator, source_dim, target_dim):
    weight = torch.randn(source_dim, target_dim, generator=generator, dtype=torch.float64)
    return LinearMap(weight, torch.randn(target_dim, generator=generator, dtype=torch.float64))


def identity(dim):
    return LinearMap(torch.eye(dim, dtype=torch.float64), torch.zeros(dim, dtype=torch.float64))


def rotation(generator, dim):
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q


@given(SEEDS, DIMS, DIMS, DIMS, DIMS)
@settings(max_examples=40)
def test_composition_is_associative_and_applies_one_map_after_the_other(seed, a, b, c, d):
    generator = torch.Generator().manual_seed(seed)
    ab, bc, cd = (random_map(generator, *dims) for dims in ((a, b), (b, c), (c, d)))
    z = torch.randn(5, a, generator=generator, dtype=torch.float64)

    left, right = ab.then(bc).then(cd), ab.then(bc.then(cd))

    torch.testing.assert_close(left.weight, right.weight)
    torch.testing.assert_close(left.bias, right.bias)
    torch.testing.assert_close(left(z), cd(bc(ab(z))))


@given(SEEDS, DIMS)
@settings(max_examples=40)
def test_an_orthogonal_map_keeps_lengths_and_its_inverse_is_its_transpose(seed, dim):
    generator = torch.Generator().manual_seed(seed)
    turn = LinearMap(rotation(generator, dim), torch.zeros(dim, dtype=torch.float64))
    z = torch.randn(5, dim, generator=generator, dtype=torch.float64)

    torch.testing.assert_close(turn(z).norm(dim=1), z.norm(dim=1))
    torch.testing.assert_close(turn.inverse().weight, turn.weight.T)


@given(SEEDS, st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=40)
def test_the_inverse_of_an_injective_map_restores_its_input(seed, dim, more):
    generator = torch.Generator().manual_seed(seed)
    weight = rotation(generator, dim + more)[:dim] * 3.0  # [dim, dim + more], full rank
    injective = LinearMap(weight, torch.randn(dim + more, generator=generator, dtype=torch.float64))
    z = torch.randn(5, dim, generator=generator, dtype=torch.float64)

    torch.testing.assert_close(injective.inverse()(injective(z)), z)


def test_an_inverse_sets_dropped_dimensions_to_zero():
    drop = LinearMap(torch.eye(3, dtype=torch.float64)[:, :2], torch.zeros(2, dtype=torch.float64))
    z = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)

    assert drop.inverse()(drop(z)).tolist() == [[1.0, 2.0, 0.0]]


def test_a_stack_applies_composes_and_inverts_like_its_single_maps():
    generator = torch.Generator().manual_seed(0)
    maps = [random_map(generator, 3, 3) for _ in range(4)]
    stack = LinearMap(torch.stack([m.weight for m in maps]), torch.stack([m.bias for m in maps])[:, None])
    z = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)

    torch.testing.assert_close(stack(z), torch.stack([m(row) for m, row in zip(maps, z, strict=True)]))
    round_trip = stack.then(stack.inverse())
    torch.testing.assert_close(round_trip(z), z)


def test_a_stack_is_transposed_like_its_single_maps():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 2, generator=generator, dtype=torch.float64)
    back = LinearMap(weight, torch.zeros(4, 1, 2, dtype=torch.float64)).transposed()

    assert back.bias.shape == (4, 1, 3)
    z = torch.randn(4, 6, 2, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(back(z), z @ weight.mT)


def test_maps_of_several_types_compose_in_the_wider_one_and_half_precision_inverts():
    double = random_map(torch.Generator().manual_seed(0), 3, 3)
    single, half = (
        LinearMap(double.weight.to(kind), double.bias.to(kind)) for kind in (torch.float32, torch.float16)
    )
    z = torch.eye(3, dtype=torch.float64)

    assert single.then(double).weight.dtype == double.then(single).weight.dtype == torch.float64
    torch.testing.assert_close(single.then(double)(z), double(single(z).double()), atol=1e-5, rtol=1e-5)
    assert half.inverse().weight.dtype == torch.float16
    torch.testing.assert_close(half.inverse().weight.double(), double.inverse().weight, atol=0.02, rtol=0.02)


def test_float32_embeddings_are_translated_in_the_dtype_of_the_map():
    assert identity(2)(torch.ones(3, 2)).dtype == torch.float64


@pytest.mark.parametrize(
    ("weight", "bias"), [((3, 2), (3,)), ((3,), (3,)), ((4, 3, 2), (4, 2)), ((3, 2), (1, 2)), ((), ())]
)
def test_weight_and_bias_of_mismatched_shapes_are_refused(weight, bias):
    with pytest.raises(ValueError, match="a map needs weight"):
        LinearMap(torch.zeros(weight), torch.zeros(bias))


def test_embeddings_and_maps_of_another_dimension_are_refused():
    two, three = identity(2), identity(3)

    with pytest.raises(ValueError, match="takes 2 dimensions, got embeddings of 3"):
        two(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="returns 2 dimensions and the second takes 3"):
        two.then(three)

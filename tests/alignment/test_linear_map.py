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


def rotation(generator, dim):
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q


@given(SEEDS, DIMS, DIMS, DIMS, DIMS)
@settings(max_examples=40, deadline=None)
def test_composition_is_associative_and_means_one_after_the_other(seed, a, b, c, d):
    generator = torch.Generator().manual_seed(seed)
    ab, bc, cd = (random_map(generator, *dims) for dims in ((a, b), (b, c), (c, d)))
    z = torch.randn(5, a, generator=generator, dtype=torch.float64)

    left, right = ab.then(bc).then(cd), ab.then(bc.then(cd))

    torch.testing.assert_close(left.weight, right.weight)
    torch.testing.assert_close(left.bias, right.bias)
    torch.testing.assert_close(left(z), cd(bc(ab(z))))


@given(SEEDS, DIMS)
@settings(max_examples=40, deadline=None)
def test_identity_changes_nothing_on_either_side(seed, dim):
    generator = torch.Generator().manual_seed(seed)
    found = random_map(generator, dim, 3)

    for same in (LinearMap.identity(dim).then(found), found.then(LinearMap.identity(3))):
        assert torch.equal(same.weight, found.weight)
        assert torch.equal(same.bias, found.bias)


@given(SEEDS, DIMS)
@settings(max_examples=40, deadline=None)
def test_an_orthogonal_map_keeps_lengths_and_its_inverse_is_its_transpose(seed, dim):
    generator = torch.Generator().manual_seed(seed)
    turn = LinearMap(rotation(generator, dim), torch.zeros(dim, dtype=torch.float64))
    z = torch.randn(5, dim, generator=generator, dtype=torch.float64)

    torch.testing.assert_close(turn(z).norm(dim=1), z.norm(dim=1))
    torch.testing.assert_close(turn.inverse().weight, turn.weight.T)


@given(SEEDS, st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_the_inverse_undoes_any_map_that_loses_nothing(seed, dim, more):
    generator = torch.Generator().manual_seed(seed)
    weight = rotation(generator, dim + more)[:dim] * 3.0  # [dim, dim + more], full rank
    there = LinearMap(weight, torch.randn(dim + more, generator=generator, dtype=torch.float64))
    z = torch.randn(5, dim, generator=generator, dtype=torch.float64)

    torch.testing.assert_close(there.inverse()(there(z)), z)


def test_an_inverse_cannot_bring_back_what_was_dropped():
    drop = LinearMap(torch.eye(3, dtype=torch.float64)[:, :2], torch.zeros(2, dtype=torch.float64))
    z = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)

    assert drop.inverse()(drop(z)).tolist() == [[1.0, 2.0, 0.0]]


def test_a_stack_applies_composes_and_undoes_like_its_maps_one_by_one():
    generator = torch.Generator().manual_seed(0)
    maps = [random_map(generator, 3, 3) for _ in range(4)]
    stack = LinearMap(torch.stack([m.weight for m in maps]), torch.stack([m.bias for m in maps])[:, None])
    z = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)

    assert [torch.equal(a.weight, b.weight) for a, b in zip(stack.unstack(), maps, strict=True)] == [True] * 4
    torch.testing.assert_close(stack(z), torch.stack([m(row) for m, row in zip(maps, z, strict=True)]))
    there_and_back = stack.then(stack.inverse())
    torch.testing.assert_close(there_and_back(z), z)


def test_float32_embeddings_are_translated_in_the_precision_of_the_map():
    assert LinearMap.identity(2)(torch.ones(3, 2)).dtype == torch.float64


@pytest.mark.parametrize(
    ("weight", "bias"), [((3, 2), (3,)), ((3,), (3,)), ((4, 3, 2), (4, 2)), ((3, 2), (1, 2)), ((), ())]
)
def test_shapes_that_make_no_map_are_refused(weight, bias):
    with pytest.raises(ValueError, match="a map needs weight"):
        LinearMap(torch.zeros(weight), torch.zeros(bias))


def test_vectors_and_maps_of_another_space_are_refused():
    two, three = LinearMap.identity(2), LinearMap.identity(3)

    with pytest.raises(ValueError, match="reads 2 dimensions, got embeddings of 3"):
        two(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="writes 2 dimensions and the second reads 3"):
        two.then(three)

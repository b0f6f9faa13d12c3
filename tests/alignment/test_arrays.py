"""Arrays of callers: every function takes NumPy and tensors of any real type, and says what it refuses."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from torch import Tensor

from alignment import (
    anchors,
    arrays,
    collapse,
    core,
    edge_score,
    fit,
    independence,
    raw_map,
    score,
    shared_subspace,
    universe,
)
from alignment.anchors import AnchorSet, choose_ticks, digest_ids, shared
from alignment.arrays import AlignmentError, to_integers, to_tensor
from alignment.edge import Edge
from alignment.graph import TranslationGraph
from alignment.held_out import HeldOut
from alignment.linear_map import LinearMap

DTYPES = ("float64", "float32", "float16", "int64", "int32", "uint8", "bool", ">f8", ">f4")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded():
    return torch.Generator().manual_seed(0)


PAIRS = (normal(40, 4), normal(40, 3, seed=1))
SAME = (normal(40, 4), normal(40, 4, seed=1))
MAP = LinearMap(normal(4, 3), normal(3))
HELD = HeldOut.of_pairs(*PAIRS)
SHARED = shared_subspace.find_shared(*(part[:, :2] for part in PAIRS), HELD.leading(2, 2))
STRONG = shared_subspace.find_shared(SAME[0], SAME[0], HeldOut.of_pairs(SAME[0], SAME[0]))
BASIS = core.find_core(normal(50, 4))
METRIC = torch.eye(4, dtype=torch.float64)
ROTATION = fit.fit_procrustes(*SAME)
GRAPH = TranslationGraph(
    edges=[Edge("a", "b", "accepted", map=ROTATION), Edge("b", "a", "accepted", map=ROTATION.inverse())]
)
UNIVERSE = universe.fit_universe({"a": SAME[0], "b": SAME[1]})

# every public function of two arrays or one, as a function of those alone
OF_PAIRS = {
    "fit_ridge": fit.fit_ridge, "fit_procrustes": fit.fit_procrustes, "fit_robust": fit.fit_robust,
    "spectrum": score.spectrum, "canonical_correlations": score.canonical_correlations,
    "linear_cka": score.linear_cka, "mutual_knn": score.mutual_knn,
    "image_r2": lambda x, y: score.image_r2(MAP, x, y),
    "find_shared": lambda x, y: shared_subspace.find_shared(x, y, HeldOut.of_pairs(x, y)).map,
    "score_edge": lambda x, y: edge_score.score_edge((x, y), HeldOut.of_pairs(x, y), (2, 2))[2],
    "budget_curve": lambda x, y: edge_score.budget_curve(
        (x, y), HELD, [4, 40], (2, 2), SHARED, seeded()
    ),
}  # fmt: skip
OF_ONE_SPACE = {
    "r2": score.r2, "retrieval_at": score.retrieval_at,
    "r2_each": lambda f, y: score.r2_each(f[None], y),
    "fit_universe": lambda x, y: universe.fit_universe({"a": x, "b": y}),
    "contraction": collapse.contraction,
    "explain_collapse": lambda x, y: collapse.explain_collapse(x, y, 1),
    "score_raw": lambda x, y: raw_map.score_raw((x, y), (x, y), (METRIC, METRIC)),
    "score_strong": lambda x, y: edge_score.score_strong((x, y), (x, y), (METRIC, METRIC), STRONG),
}  # fmt: skip
OF_ROWS = {
    "map": MAP, "basis": BASIS, "core": BASIS.core, "find_core": core.find_core,
    "autocorrelations": lambda z: core.autocorrelations(z, BASIS),
    "resort_basis": lambda z: core.resort_basis(BASIS, z), "effective_rank": core.effective_rank,
    "shuffle_pairs": lambda z: score.shuffle_pairs(z, seeded()),
    "cycle_error": lambda z: score.cycle_error([MAP, MAP.inverse()], z),
    "join": lambda z: UNIVERSE.join("c", z), "resolved_dims": collapse.resolved_dims,
    "raw_metric": raw_map.raw_metric, "choose_spread": lambda z: anchors.choose_spread(z, 5),
    "cycle_error of a graph": lambda z: GRAPH.cycle_error(("a", "b"), z),
    "resolution": collapse.resolution, "anchors": lambda z: AnchorSet(range(len(z)), z, 2),
}  # fmt: skip
OF_VALUES = {
    "kappa": score.kappa, "isometry_deviation": score.isometry_deviation,
}  # fmt: skip
CALLS = {
    **{name: (call, PAIRS) for name, call in OF_PAIRS.items()},
    **{name: (call, SAME) for name, call in OF_ONE_SPACE.items()},
    **{name: (call, (normal(40, 4),)) for name, call in OF_ROWS.items()},
    **{name: (call, (normal(6).abs(),)) for name, call in OF_VALUES.items()},
}
NO_ARRAYS = {  # names of public functions that take no array of a caller, or tensors of our own alone
    "choose_ticks", "digest_ids", "shared", "solve_ridge", "center", "lagged_covariances", "noise_edge",
    "varies", "whitener", "check_pairs", "image", "place_shared", "select_independent", "unmix",
    "predictable_axes",
}  # fmt: skip


def numbers(result):
    """All numbers of a result, in one order."""
    if hasattr(result, "__dataclass_fields__"):
        return numbers([getattr(result, name) for name in result.__dataclass_fields__])
    if isinstance(result, dict):
        return numbers(list(result.values()))
    if isinstance(result, list | tuple):
        return [number for part in result for number in numbers(part)]
    if isinstance(result, Tensor | np.ndarray):
        return np.asarray(result, dtype=float).ravel().tolist()
    return [float(result)] if isinstance(result, int | float) else []


def test_every_public_function_of_this_package_is_tried_here():
    modules = (
        anchors, collapse, core, edge_score, fit, independence, raw_map, score, shared_subspace, universe,
    )  # fmt: skip
    public = {
        name
        for module in modules
        for name, found in vars(module).items()
        if inspect.isfunction(found) and found.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public - NO_ARRAYS <= set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_numpy_gives_the_numbers_of_tensors_and_arrays_come_back_as_they_went_in(name):
    call, given_tensors = CALLS[name]
    of_tensors = call(*given_tensors)
    of_arrays = call(*(part.numpy() for part in given_tensors))

    assert numbers(of_arrays) == numbers(of_tensors)
    if isinstance(of_tensors, Tensor):
        assert isinstance(of_arrays, np.ndarray)
    else:
        assert type(of_arrays) is type(of_tensors)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CALLS)
def test_every_real_type_is_taken(name, dtype):
    call, given_tensors = CALLS[name]
    rounded = [(4 * part.numpy()).clip(0, 200).astype(dtype) for part in given_tensors]
    expected = numbers(call(*(part.astype(float) for part in rounded)))

    for convert in (np.asarray, lambda part: torch.from_numpy(part.astype(part.dtype.newbyteorder("=")))):
        found = numbers(call(*(convert(part) for part in rounded)))
        if name != "resolution":
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "wrong",
    [
        None, "latents", object(), [[1.0, 2.0], [3.0]], np.array([["a"]]),
        torch.ones(40, 4, dtype=torch.cfloat),
    ],
    ids=["none", "text", "object", "ragged", "text array", "complex"],
)  # fmt: skip
def test_what_is_no_array_of_real_numbers_is_refused_with_a_remedy(name, wrong):
    call, given_tensors = CALLS[name]
    if name in ("r2_each", "anchors") and not isinstance(wrong, Tensor):
        pytest.skip("the call itself needs a length")
    with pytest.raises(AlignmentError) as refusal:
        call(*(wrong for _ in given_tensors))
    assert refusal.value.problem
    assert refusal.value.remedy


@pytest.mark.parametrize("name", [name for name in CALLS if name not in {**OF_VALUES, "map": 0, "basis": 0}])
def test_a_value_that_is_not_finite_is_refused_or_scores_worst(name):
    call, given_tensors = CALLS[name]
    for place in range(len(given_tensors)):
        spoilt = [part.clone() for part in given_tensors]
        spoilt[place][7, 1] = torch.nan
        if name in ("core", "shuffle_pairs", "resolved_dims", "resolution", "contraction") or (
            name.startswith("cycle_error")
        ):
            call(*spoilt)  # row by row, or a number that says so
        elif name == "explain_collapse":
            continue
        else:
            with pytest.raises(AlignmentError, match=r"row 7 of .*not finite"):
                call(*spoilt)


@pytest.mark.parametrize("name", [*OF_PAIRS, *OF_ONE_SPACE])
@pytest.mark.parametrize("shapes", [((5, 4), (6, 4)), ((4,), (4,)), ((0, 4), (0, 4)), ((), ())])
def test_shapes_that_are_no_pairs_are_refused(name, shapes):
    with pytest.raises((AlignmentError, TypeError, IndexError)) as refusal:
        CALLS[name][0](*(torch.ones(shape) for shape in shapes))
    assert refusal.type is AlignmentError


@pytest.mark.parametrize("name", [*OF_PAIRS, *OF_ONE_SPACE])
def test_sets_on_two_devices_are_refused(name):
    if name in ("contraction", "explain_collapse"):
        pytest.skip("each set is reduced to numbers on its own device")
    x, y = CALLS[name][1]
    with pytest.raises(AlignmentError, match=r"on cpu and .* on meta|on meta and .* on cpu"):
        CALLS[name][0](x, y.to("meta"))


def test_predictions_in_another_space_are_refused():
    """Broadcasting would compare every dimension with the first one."""
    for call in (score.r2, score.retrieval_at, lambda f, y: score.r2_each(f[None], y)):
        with pytest.raises(AlignmentError, match="map the source first"):
            call(normal(10, 1), normal(10, 4))


def test_a_map_of_whole_numbers_does_not_round_what_it_maps():
    swap = LinearMap(torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 0]))

    assert swap(np.array([[0.25, 0.75]])).tolist() == [[0.75, 0.25]]
    assert LinearMap(np.eye(2), np.zeros(2))(torch.ones(1, 2)).tolist() == [[1.0, 1.0]]


def test_ticks_of_any_integer_type_are_the_same_ticks():
    ids = np.arange(10, dtype=np.int32)
    array_set = AnchorSet(ids, np.ones((10, 2), dtype=np.float32), 1)

    assert array_set.ids == AnchorSet(torch.arange(10), torch.ones(10, 2), 1).ids == tuple(range(10))
    assert choose_ticks(ids, 4, seed=7) == choose_ticks(range(10), 4, seed=7)
    assert digest_ids(ids, "") == digest_ids(torch.arange(10), "") == digest_ids(range(10), "")
    assert [len(part) for part in shared(array_set, array_set)] == [10, 10]
    with pytest.raises(KeyError, match=r"ticks \[10\] are not among the 10 anchors"):
        array_set.rows([3, 10])


@pytest.mark.parametrize("ticks", [[1.5], ["1"], [None], [True], np.array([0.0, 1.0])])
def test_ticks_that_are_no_whole_numbers_are_refused(ticks):
    calls = (lambda v: digest_ids(v, ""), lambda v: choose_ticks(v, 1, 0), lambda v: to_integers(v, "ticks"))
    for call in calls:
        with pytest.raises(AlignmentError, match="whole numbers"):
            call(ticks)


def test_a_tick_beyond_64_bits_has_no_digest():
    with pytest.raises(AlignmentError, match="64 bits"):
        digest_ids([2**63], "")


@pytest.mark.parametrize("generator", [0, None, np.random.default_rng(0)])
def test_randomness_of_another_library_is_refused_with_the_line_to_write(generator):
    for call in (
        lambda: score.shuffle_pairs(PAIRS[0], generator),
        lambda: edge_score.budget_curve(PAIRS, HELD, [4], (2, 2), SHARED, generator),
    ):
        with pytest.raises(AlignmentError, match=r"torch\.Generator\(\)\.manual_seed"):
            call()


@pytest.mark.parametrize(
    ("held", "core_dims", "words"),
    [
        ((PAIRS[0][:, :2], PAIRS[1]), (2, 2), "source has"),
        ((PAIRS[0], PAIRS[1][:, :2]), (2, 2), "target has"),
        (PAIRS, (5, 2), "a core of 5 of the 4 columns of the source"),
        (PAIRS, (2, -1), "a core of -1 of the 3 columns of the target"),
    ],
)
def test_an_edge_of_pairs_that_do_not_fit_together_is_refused(held, core_dims, words):
    with pytest.raises(AlignmentError, match=words):
        edge_score.score_edge(PAIRS, HeldOut.of_pairs(*held), core_dims)


@given(
    numpy_strategies.arrays(
        st.sampled_from([np.float64, np.float32, np.float16, np.int16, np.uint8, np.bool_]),
        numpy_strategies.array_shapes(min_dims=1, max_dims=3, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=80)
def test_an_array_of_any_layout_keeps_its_values_and_is_not_written_to(array, reverse, frozen):
    given_array = array[::-1].T if reverse else array
    given_array.flags.writeable = not frozen
    tensor = to_tensor(given_array, "rows")

    assert tensor.shape == given_array.shape
    np.testing.assert_array_equal(tensor.double().numpy(), given_array.astype(np.float64))
    assert arrays.like(tensor, given_array).dtype.kind == "f"

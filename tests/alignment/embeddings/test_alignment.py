import contextlib
from hashlib import blake2b

import numpy as np
import pytest
import torch

from alignment.arrays import AlignmentError
from alignment.embeddings.copies import find_new
from alignment.embeddings.pairs import AlignSettings, match, split
from alignment.embeddings.peer import EmbeddingPeer, align
from alignment.score import r2
from alignment.status import Status
from tests.support.embedding_tables import planted, rotation

TIME = AlignSettings(time_order=True)


def names(rows):
    return [f"item {row}" for row in range(rows)]


def peers(tables, ids=None):
    ids = names(len(tables[0])) if ids is None else ids
    return [EmbeddingPeer(name, ids, table) for name, table in zip("ab", tables, strict=True)]


def numbers(edge):
    return [edge.null_correlation, *edge.correlations, edge.r2_shared, edge.r2, edge.retrieval_at_1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("rows", "dims", "shared"), [(400, (6, 11), 3), (600, (12, 40), 5), (300, (20, 20), 20), (240, (3, 9), 1)]
)
def test_the_dimension_of_a_planted_overlap_is_exact_in_both_directions(seed, rows, dims, shared):
    found = align(*planted(seed, rows, dims, shared))

    for edge, (i, j) in ((found.forward, dims), (found.backward, dims[::-1])):
        assert (edge.status, edge.shared_dim) == (Status.ACCEPTED, shared)
        assert (edge.source_dims.total, edge.target_dims.total) == (i, j)
        assert edge.source_dims.private == i - shared
        assert edge.r2_shared > 0.9
        assert edge.null == "permutation"


def test_independent_tables_share_nothing_but_by_the_chance_of_the_null():
    found = [align(*planted(seed, 64, (2, 3), 0)).forward for seed in range(60)]

    assert sum(edge.shared_dim > 0 for edge in found) <= 1  # half a percent is expected
    assert all(edge.reason.startswith("no direction is shared") for edge in found if not edge.shared_dim)


def test_many_dimensions_and_few_rows_share_nothing_by_chance():
    found = [align(*planted(seed, 120, (64, 300), 0)).forward for seed in range(10)]

    assert sum(edge.shared_dim > 0 for edge in found) <= 1


def test_slow_tables_that_share_nothing_pass_for_related_under_permutations_and_not_under_shifts():
    """Permuted rows are independent, and slow processes correlate more than independent rows by chance."""
    tables = [planted(seed, 700, (5, 5), 0, rate=0.9) for seed in range(12)]

    assert sum(align(*pair).forward.shared_dim > 0 for pair in tables) > 6
    assert sum(align(*pair, TIME).forward.shared_dim > 0 for pair in tables) == 0


@pytest.mark.parametrize("rate", [0.3, 0.9])
def test_the_shift_null_finds_what_slow_tables_share(rate):
    found = align(*planted(3, 1200, (5, 7), 3, rate=rate), TIME)

    assert (found.forward.shared_dim, found.backward.shared_dim) == (3, 3)
    assert found.forward.null == "time shift"
    assert 1 <= found.memory < 60


def test_a_given_memory_is_used_and_a_stretch_too_short_for_it_is_refused():
    tables = planted(3, 1200, (5, 5), 3, rate=0.5)

    assert align(*tables, AlignSettings(time_order=True, memory=9)).memory == 9
    with pytest.raises(AlignmentError, match=r"span 6\.0 memories of 100 rows.*give more rows"):
        align(*tables, AlignSettings(time_order=True, memory=100))


@pytest.mark.parametrize("settings", [AlignSettings(), AlignSettings(pairs=60, seed=4)])
def test_rotations_scales_and_offsets_of_either_side_change_no_number(settings):
    rng, tables = np.random.default_rng(5), planted(1, 400, (6, 9), 4)
    turned = [
        scale * table @ rotation(rng, table.shape[1]) + 7
        for table, scale in zip(tables, (1e3, 1e-2), strict=True)
    ]

    first, second = align(*peers(tables), settings), align(*peers(turned), settings)

    assert numbers(first.forward) == pytest.approx(numbers(second.forward), abs=1e-6)
    assert numbers(first.backward) == pytest.approx(numbers(second.backward), abs=1e-6)


def errors_of_others(tables, rows):
    """Return the shared dimensions, and the mean squared errors of both maps in the columns but the third."""
    edge = align(*(table[:rows] for table in tables)).forward
    source, target = (torch.tensor(table[rows:].astype("float64")) for table in tables)
    others = [column for column in range(target.shape[1]) if column != 2]
    maps = edge.map.shared, edge.map.full
    return edge.shared_dim, [float((each(source) - target)[:, others].square().mean()) for each in maps]


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
@pytest.mark.parametrize("rows", [120, 1500])
@pytest.mark.parametrize("side", [0, 1])
def test_a_column_in_another_unit_does_not_change_how_the_others_are_translated(side, rows, kind):
    """As micrometres beside centimetres; squares of the others are below the rounding of a mean square."""
    tables = planted(1, rows + 400, (6, 9), 4)
    scaled = [table.copy() for table in tables]
    scaled[side][:, 2] *= 1e4

    expected, found = (
        errors_of_others([table.astype(kind) for table in pair], rows) for pair in (tables, scaled)
    )

    assert found[0] == expected[0] == 4
    assert found[1] == pytest.approx(expected[1], rel=0.05)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
@pytest.mark.parametrize("rows", [40, 1500])  # fewer fit than dimensions, and more
@pytest.mark.parametrize("side", [0, 1])
def test_one_column_that_varies_ten_million_times_as_much_does_not_hide_the_others(side, rows, kind):
    tables = planted(1, rows + 400, (24, 24), 20)
    scaled = [table.copy() for table in tables]
    scaled[side] *= 1e-3  # so that float16 holds the large column
    scaled[side][:, 2] *= 1e7

    plain, found = (
        align(*(table[:rows].astype(kind) for table in pair)).forward for pair in (tables, scaled)
    )

    assert (found.source_dims, found.target_dims) == (plain.source_dims, plain.target_dims)
    assert found.r2_shared == pytest.approx(plain.r2_shared, abs=0.03)
    unit = np.where(np.arange(24) == 2, 1e4, 1e-3)
    source, target = (torch.tensor(table[rows:]) for table in tables)
    given = source * torch.tensor(unit) if side == 0 else source
    translated = found.map.shared(given) / (torch.tensor(unit) if side == 1 else 1.0)
    expected, error = (
        float((each - target).square().mean()) for each in (plain.map.shared(source), translated)
    )
    assert error == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("case", ["principal components", "dead units of float64", "dead units of float32"])
def test_columns_of_rounding_noise_beside_several_others_count_as_constants(case):
    """Which of two units is the odd one cannot be told: noise is what varies less than several columns do."""
    tables, rng = planted(2, 600, (9, 9), 4), np.random.default_rng(0)
    table = np.c_[tables[0], 1e-7 * rng.standard_normal((600, 20))]
    if case == "principal components":
        wide = tables[0].astype("float32") @ rng.standard_normal((9, 29)).astype("float32")
        u, s, _ = np.linalg.svd((wide - wide.mean(0)).astype("float64"), full_matrices=False)
        table = u * s
    kind = "float32" if case.endswith("32") else "float64"

    found = align(table.astype(kind), tables[1].astype(kind)).forward

    assert (found.shared_dim, found.source_dims.private, found.source_dims.constant) == (4, 5, 20)
    assert found.r2_shared > 0.9


def test_constants_and_empty_principal_components_are_no_columns_in_another_unit():
    tables = planted(1, 400, (6, 9), 4)
    constant = np.c_[tables[0], np.full((400, 20), 1e3 / 3)]
    components = np.linalg.svd(np.tile(tables[1], 4), full_matrices=False)
    plain = align(*tables).forward

    for kind in ("float64", "float32"):
        pair = [each.astype(kind) for each in (constant, components[0] * components[1])]
        assert align(*pair).forward.shared_dim == plain.shared_dim == 4


def test_the_order_of_the_rows_of_either_table_changes_not_a_bit():
    tables, rng = planted(2, 300, (5, 8), 3), np.random.default_rng(0)
    ids, orders = np.array(names(300)), [rng.permutation(300), rng.permutation(300)]
    shuffled = [
        EmbeddingPeer(name, ids[order].tolist(), table[order])
        for name, table, order in zip("ab", tables, orders, strict=True)
    ]

    found, again = align(*peers(tables)), shuffled[0].negotiate(shuffled[1])

    for edge, other in ((found.forward, again.forward), (found.backward, again.backward)):
        assert numbers(edge) == pytest.approx(numbers(other), rel=1e-9)
        assert edge.reason == other.reason


def test_both_directions_compare_the_same_white_coordinates():
    found = align(*planted(2, 300, (5, 8), 3))

    assert found.forward.map.source is found.backward.map.target
    assert found.forward.map.target is found.backward.map.source
    white = found.forward.map.target(found.forward.map.target.inverse + found.forward.map.target.mean)
    torch.testing.assert_close(white, torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-9)


def test_ids_that_name_the_wrong_rows_share_nothing():
    first, second = planted(2, 300, (5, 8), 3)
    wrong = np.random.default_rng(1).permutation(300)

    assert align(*peers([first, second[wrong]])).forward.status is Status.REFUSED


def test_peers_with_other_anchors_negotiate_on_those_that_both_have():
    first, second = planted(4, 500, (5, 6), 3)
    a = EmbeddingPeer("a", names(500)[:400], first[:400])
    b = EmbeddingPeer("b", names(500)[150:], second[150:])

    found = a.negotiate(b)

    assert (found.shared_anchors, found.forward.shared_dim) == (250, 3)
    assert found.by_id


def test_rows_that_score_are_never_fitted():
    """Of shared anchors half are held out: with other rows there the scores change and the maps do not."""
    drawn = planted(6, 450, (5, 6), 3)
    tables, others = [table[:300] for table in drawn], [table[:300].copy() for table in drawn]
    _, held = split(match(*peers(tables), AlignSettings()), AlignSettings())
    for table, all_rows, rows in zip(others, drawn, (held.first, held.second), strict=True):
        table[rows] = all_rows[300:]

    edge, other = align(*peers(tables)).forward, align(*peers(others)).forward

    assert edge.shared_dim == other.shared_dim == 3
    assert edge.correlations != other.correlations
    assert edge.r2 != other.r2
    made, again = edge.map, other.map
    torch.testing.assert_close(made.full.weight, again.full.weight, rtol=0, atol=0)
    torch.testing.assert_close(made.source.transform, again.source.transform, rtol=0, atol=0)
    torch.testing.assert_close(made.target.transform, again.target.transform, rtol=0, atol=0)
    torch.testing.assert_close(made.shared.weight, again.shared.weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(made.shared.bias, again.shared.bias, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_choice_of_anchors_depends_on_the_seed_alone(seed):
    shared = match(*peers(planted(0, 100, (3, 3), 1)), AlignSettings(seed=seed))

    assert shared.first.tolist() == sorted(
        range(100), key=lambda row: blake2b(f"{seed}:item {row}".encode(), digest_size=16).digest()
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.float64])
def test_arrays_and_tensors_come_back_in_their_kind_and_type(kind):
    tables = planted(7, 300, (5, 6), 3)
    x, y = (
        torch.from_numpy(table).to(kind) if isinstance(kind, torch.dtype) else table.astype(kind)
        for table in tables
    )
    edge = align(x, y).forward

    for result in (
        edge(x),
        edge.map.translate_all(x),
        edge.map.source_coordinates(x),
        edge.map.target_coordinates(y),
    ):
        assert type(result) is type(x)
        assert result.dtype == x.dtype
    assert edge(x).shape == y.shape
    assert edge(x[0]).shape == y[0].shape
    assert r2(edge.map.translate_all(x), y) > 0.4


def test_the_map_translates_what_is_shared_and_leaves_the_rest_at_the_mean():
    """In the planted world the best prediction of the target is its shared factors, which the source has."""
    first, second = planted(8, 2000, (6, 6), 3, noise=0.0)
    edge = align(first, second).forward

    predicted = edge(first)

    assert np.linalg.matrix_rank(predicted - predicted.mean(0), tol=1e-6) == 3
    assert r2(predicted, second) == pytest.approx(0.5, abs=0.03)


def test_more_dimensions_than_pairs_are_said_to_be_undetermined():
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((160, 4))
    wide = np.c_[5 * factors, 0.1 * rng.standard_normal((160, 400))] @ rotation(rng, 404)
    narrow = np.c_[factors + 0.1 * rng.standard_normal((160, 4)), rng.standard_normal((160, 2))]

    edge = align(wide, narrow).forward

    assert edge.shared_dim == 4
    assert edge.source_dims.undetermined > 0
    assert edge.source_dims.constant >= 404 - 160
    assert "the pairs are too few to compare" in edge.reason


def test_constant_dimensions_are_counted_as_such():
    first, second = planted(9, 300, (5, 6), 3)
    padded = np.c_[first, np.full((300, 4), 3.0)]

    dims = align(padded, second).forward.source_dims

    assert dims == (3, 2, 0, 4)


@pytest.mark.parametrize("copies", [2, 4])
def test_copies_up_to_rounding_do_not_make_unrelated_tables_agree(copies):
    accepted = 0
    for seed in range(4):
        rng = np.random.default_rng([copies, seed])
        tables = [np.tile(rng.standard_normal((640 // copies, 16)), (copies, 1)) for _ in range(2)]
        tables = [table * (1 + 1e-6 * rng.standard_normal(table.shape)) for table in tables]
        with contextlib.suppress(AlignmentError):  # too few rows that are no copies are left
            accepted += align(*tables).forward.status is Status.ACCEPTED

    assert accepted == 0


def one_hot(classes, rng):
    codes = rng.integers(0, classes, 2000)
    other = np.where(rng.random(2000) < 0.1, rng.integers(0, classes, 2000), codes)
    return np.eye(classes)[codes], np.eye(classes)[other]


def bits(count, rng):
    codes = rng.random((2000, count)) < 0.5
    return codes.astype(float), (codes ^ (rng.random(codes.shape) < 0.02)).astype(float)


def ratings(count, rng):
    taste = rng.standard_normal((2000, 3)) @ rng.standard_normal((3, count))
    return [np.clip(np.round(taste + 0.3 * rng.standard_normal(taste.shape)), -2, 2) for _ in range(2)]


@pytest.mark.parametrize(
    ("kind", "size"), [(one_hot, 10), (one_hot, 16), (bits, 8), (bits, 12), (ratings, 8)]
)
def test_no_row_of_a_discrete_table_is_left_out_as_an_outlier(kind, size):
    """Rows of equal codes have no residual, beside which half of the others were left out."""
    first, second = kind(size, np.random.default_rng(size))

    found = align(first + 1e-3 * np.arange(2000)[:, None] * (np.arange(size) < 1), second)

    assert found.forward.outliers == 0
    assert found.forward.status is Status.ACCEPTED


def test_one_extreme_row_makes_no_copies_of_the_others():
    tables = [table.copy() for table in planted(12, 800, (5, 6), 3)]
    for table in tables:
        table[7] = 1e6

    assert align(*tables).repeated == 0


def test_a_column_that_holds_rounding_alone_does_not_hide_copies():
    rng = np.random.default_rng(0)
    tables = [np.tile(rng.standard_normal((500, 6)), (2, 1)) for _ in range(2)]
    tables = [np.c_[table, 3.0 + 1e-7 * rng.standard_normal(1000)] for table in tables]
    tables = [table * (1 + 1e-7 * rng.standard_normal(table.shape)) for table in tables]
    parts = [
        tuple(torch.from_numpy(table[rows]) for table in tables) for rows in (slice(500), slice(500, 1000))
    ]

    assert not find_new(*parts).any()


@pytest.mark.parametrize(("turns", "count"), [(1, 2000), (2, 2000), (1, 30_000)])
def test_neighbors_on_a_line_or_a_surface_are_no_copies(turns, count):
    rng = np.random.default_rng(turns)
    places = rng.uniform(0, 2 * np.pi, (count, turns))
    circles = np.concatenate([np.sin(places), np.cos(places)], 1)
    tables = [np.tanh(circles @ rng.standard_normal((2 * turns, 12))) for _ in range(2)]

    parts = [
        tuple(torch.from_numpy(table[rows]) for table in tables)
        for rows in (slice(count // 2), slice(count // 2, count))
    ]
    assert find_new(*parts).double().mean() > 0.85  # of 30,000 rows on a line some are as near


def test_a_scored_anchor_that_repeats_a_fitted_one_is_left_out():
    tables = planted(10, 200, (4, 5), 2)
    doubled = [np.concatenate([table, table]) for table in tables]

    found = align(*doubled)

    assert found.repeated > 50
    assert found.forward.heldout_anchors == 200 - found.repeated


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (a, b[:-1]), "300 rows and B 299, and neither has ids; give ids"),
        (lambda a, b: (a, np.full_like(b, 2.0)), r"all 150 rows of B are the same.*check the encoder"),
        (
            lambda a, b: (a, np.where(np.arange(300)[:, None] == 7, np.nan, b)),
            "row 7 of B holds a value that is not",
        ),
        (
            lambda a, b: (a, np.where(np.arange(300)[:, None] == 7, np.inf, b)),
            "row 7 of B holds a value that is not",
        ),
        (lambda a, b: (a, b.astype(str)), "B is no array of real numbers"),
        (lambda a, b: (a, b.astype(object)), "B is no array of real numbers"),
        (lambda a, b: (a, b + 1j), "B is no array of real numbers"),
        (lambda a, b: (a, b[:, 0]), r"B has embeddings of shape \(300,\), not \[K, D\]; .*pool"),
        (lambda a, b: (a, b[:, None]), r"B has embeddings of shape \(300, 1, 6\)"),
        (lambda a, b: (a[:20], b[:20]), "share 20 anchors of 20 and 20, and at least 32 are needed"),
        (lambda a, b: (a[:0], b[:0]), "share 0 anchors"),
        (lambda a, b: (EmbeddingPeer("a", names(300), a), b), "a has ids and B has none; give the ids of B"),
        (
            lambda a, b: (EmbeddingPeer("a", names(300), a), EmbeddingPeer("b", range(300), b)),
            "ids of one kind",
        ),
        (
            lambda a, b: (EmbeddingPeer("a", names(300), a), EmbeddingPeer("b", names(600)[300:], b)),
            "share 0 anchors.*under the same ids: the first ones are 'item 0' and 'item 300'",
        ),
    ],
)
def test_tables_that_cannot_be_compared_are_refused_with_a_remedy(change, message):
    with pytest.raises(AlignmentError, match=message):
        align(*change(*planted(0, 300, (5, 6), 3)))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["x"] * 3, "lists the id 'x' twice"),
        ([1, "x", 2], "several kinds"),
        ([1.5, 2, 3], "whole numbers"),
        ([1, 2], "3 rows and 2 ids"),
    ],
)
def test_ids_that_name_no_rows_are_refused(ids, message):
    with pytest.raises(AlignmentError, match=message):
        EmbeddingPeer("a", ids, np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heldout": 0.0}, "between 0 and 1"), ({"heldout": 1.0}, "between 0 and 1"),
        ({"pairs": 1}, "pairs is 1"),
        ({"memory": 3}, "set time_order"), ({"memory": 0, "time_order": True}, "memory is 0"),
        ({"min_shared": 3}, "choose 32 or more"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(AlignmentError, match=message):
        AlignSettings(**settings)


def test_more_pairs_than_there_are_is_refused():
    with pytest.raises(AlignmentError, match=r"200 pairs to fit on are requested.*leave 150; lower pairs"):
        align(*planted(0, 300, (5, 6), 3), AlignSettings(pairs=200))


def test_time_needs_ticks_at_equal_distances():
    tables = planted(0, 300, (5, 6), 3)
    ticks = [row + (row > 7) for row in range(300)]

    with pytest.raises(AlignmentError, match="no order in time; leave time order out"):
        align(*peers(tables), TIME)
    with pytest.raises(AlignmentError, match="7 is followed by 9"):
        align(*peers(tables, ticks), TIME)


def test_a_callable_embeds_every_id_once():
    first, second = planted(11, 300, (5, 6), 3)
    asked = []

    def embed(ids):
        asked.extend(ids)
        return first[[int(each.split()[1]) for each in ids]]

    found = EmbeddingPeer("a", names(300), embed).negotiate(EmbeddingPeer("b", names(300), second))

    assert sorted(asked) == sorted(names(300))
    assert numbers(found.forward) == numbers(align(*peers([first, second])).forward)


@pytest.mark.parametrize("wrong", [lambda ids: np.zeros((len(ids) - 1, 3)), lambda ids: np.zeros(len(ids))])
def test_a_callable_that_returns_other_rows_is_refused(wrong):
    with pytest.raises(AlignmentError, match="return one row"):
        _ = EmbeddingPeer("a", names(5), wrong).vectors


def test_a_memory_mapped_table_is_read_by_need(tmp_path):
    tables = planted(12, 400, (5, 6), 3)
    np.save(tmp_path / "a.npy", tables[0])

    mapped = align(np.load(tmp_path / "a.npy", mmap_mode="r"), tables[1])

    assert numbers(mapped.forward) == numbers(align(*tables).forward)


def test_a_table_with_more_rows_is_whitened_on_all_of_them():
    first, second = planted(13, 3000, (5, 6), 3)
    found = EmbeddingPeer("a", range(3000), first).negotiate(EmbeddingPeer("b", range(100), second[:100]))

    assert found.forward.shared_dim == 3


POISONS = {
    "noise": lambda rows, rng: 3 * rng.standard_normal(rows.shape) * rows.std(0),
    "opposite rows": lambda rows, rng: -3 * rows,
    "rows of other items": lambda rows, rng: rows[rng.permutation(len(rows))],
}


def poisoned(tables, poison, fit_share=0.2, seed=3):
    """Return the tables with some rows of the first one that are not held out poisoned; which ones."""
    shared = match(*peers(tables), AlignSettings())
    fit, _ = split(shared, AlignSettings(), 0)
    rng = np.random.default_rng(seed)
    rows = rng.choice(fit.first.numpy(), round(fit_share * len(fit)), replace=False)
    false = tables[0].copy()
    false[rows] = POISONS[poison](tables[0][rows], rng)
    return [false, tables[1]], rows


@pytest.mark.parametrize("poison", POISONS)
def test_rows_that_contradict_all_others_are_left_out_in_both_directions(poison):
    tables = planted(5, 500, (6, 8), 6)
    clean = align(*peers(tables))
    found = align(*peers(poisoned(tables, poison)[0]))

    for edge, honest in ((found.forward, clean.forward), (found.backward, clean.backward)):
        assert 40 <= edge.outliers <= 50
        assert edge.outliers + edge.fit_anchors == honest.fit_anchors == 250
        assert (
            f"{edge.outliers} of 250 anchors contradict the others in one of the tables: left out"
            in edge.reason
        )
        assert edge.shared_dim == honest.shared_dim == 6
        assert edge.r2_shared > honest.r2_shared - 0.01
        assert edge.r2 > honest.r2 - 0.02


def test_without_outliers_an_edge_is_what_it_was_to_the_last_bit(monkeypatch):
    tables = planted(5, 500, (6, 8), 6)
    found = align(*peers(tables))
    monkeypatch.setattr("alignment.embeddings.alignment.find_outliers", lambda a, b: torch.zeros(len(a)) > 0)
    untested = align(*peers(tables))

    assert found.forward.outliers == found.backward.outliers == 0
    for name in ("forward", "backward"):
        assert numbers(getattr(found, name)) == numbers(getattr(untested, name))
        assert torch.equal(getattr(found, name).map.shared.weight, getattr(untested, name).map.shared.weight)


def test_squares_beyond_the_largest_number_are_refused_with_a_remedy():
    rng = np.random.default_rng(0)
    tables = [scale * rng.standard_normal((300, 4)) for scale in (1e200, 1.0)]

    with pytest.raises(AlignmentError, match="divide the table by a constant"):
        align(*peers(tables))


@pytest.mark.parametrize(("correlation", "dims", "rows"), [(0.5, 12, 600), (0.4, 20, 800)])
def test_slopes_are_those_of_the_map_where_directions_agree_alike(correlation, dims, rows):
    """Directions of equal correlation have no order of their own: each fold finds another one."""
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        source = rng.standard_normal((rows + 20_000, dims))
        noise = rng.standard_normal(source.shape)
        target = correlation * source + (1 - correlation**2) ** 0.5 * noise
        edge = align(*peers([source[:rows], target[:rows]])).forward
        axes = edge.map.target_axes.numpy()
        mapped, actual = (edge.map.target(np.asarray(each)) @ axes
                          for each in (edge.map(source[rows:]), target[rows:]))  # fmt: skip
        found.append(r2(torch.as_tensor(mapped), torch.as_tensor(actual)))

    assert np.mean(found) > 0.6 * correlation**2


def test_a_null_level_is_a_correlation_however_few_memories_a_stretch_has():
    """A Gumbel quantile of few shifts of slow rows lies above 1, which no record of an edge may hold."""
    levels = []
    for seed in range(90, 100):
        rng = np.random.default_rng(seed)
        rows = rng.standard_normal((600, 8))
        for tick in range(1, 600):
            rows[tick] = 0.99 * rows[tick - 1] + 0.0199**0.5 * rows[tick]
        settings = AlignSettings(time_order=True, memory=25)  # as many memories as a null needs, and no more
        edge = align(*peers([rows[:, :4], rows[:, 4:]], range(600)), settings).forward
        assert edge.status is Status.REFUSED
        levels.append(edge.null_correlation)

    assert max(levels) == 1

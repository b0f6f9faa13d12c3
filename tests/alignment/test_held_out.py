import numpy as np
import pytest
import torch

from alignment import held_out
from alignment.arrays import AlignmentError
from alignment.held_out import HeldOut, null_sums
from alignment.shared_subspace import find_shared


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_pairs(seed, memory, pairs=24, stretch=90, dims=(3, 4)):
    rows = torch.randperm(stretch, generator=torch.Generator().manual_seed(seed))[:pairs]
    return HeldOut(normal(seed, pairs, dims[0]), normal(seed + 1, stretch, dims[1]), rows, memory)


@pytest.mark.parametrize("memory", [1, 20, None])
@pytest.mark.parametrize("chunk", [1, 2**24])
def test_sums_of_the_null_are_those_of_its_pairs_one_after_the_other(monkeypatch, memory, chunk):
    monkeypatch.setattr(held_out, "CHUNK", chunk)
    held = some_pairs(0, memory)
    a, b = held.source, held.stretch

    direct = torch.stack([a.mT @ b[rows] for rows in held.null_rows(15)])
    torch.testing.assert_close(null_sums(a, b, held, 15), direct)
    torch.testing.assert_close(
        null_sums(a, b[:, :3], held, 15, matched=True), direct.diagonal(dim1=1, dim2=2)[:, :3]
    )
    torch.testing.assert_close(
        null_sums(torch.ones(24, 1, dtype=torch.float64), b, held, 15, matched=True),
        torch.stack([b[rows].sum(0) for rows in held.null_rows(15)]),
    )


@pytest.mark.parametrize("part", ["source", "stretch"])
def test_values_that_are_not_finite_are_refused(part):
    held = some_pairs(0, 20)
    parts = {"source": held.source.clone(), "stretch": held.stretch.clone()}
    parts[part][5, 1] = torch.nan

    with pytest.raises(AlignmentError, match=f"held-out {part} holds a value that is not finite"):
        HeldOut(parts["source"], parts["stretch"], held.rows, held.memory)


def test_a_pair_that_occurs_twice_counts_twice():
    rows = torch.tensor([0, 7, 7])
    held = HeldOut(torch.ones(3, 1), normal(0, 30, 1), rows, 5)

    sums = null_sums(held.source.double(), held.stretch, held, matched=True)
    torch.testing.assert_close(sums[:, 0], held.stretch[held.null_rows()].sum(1)[:, 0])


@pytest.mark.parametrize("memory", [3, None])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_correlations_of_the_null_are_those_of_numpy(memory, offset):
    held = some_pairs(2, memory)
    held = HeldOut(held.source + offset, held.stretch + offset, held.rows, memory)
    fit = normal(4, 40, 3), normal(5, 40, 4)

    found = find_shared(*fit, held, 15)

    u, _, vt = np.linalg.svd(fit[0].T @ fit[1], full_matrices=False)
    expected = [
        max(np.corrcoef(held.source @ u[:, m], held.stretch[rows] @ vt[m])[0, 1] for m in range(3))
        for rows in held.null_rows(15)
    ]
    np.testing.assert_allclose(found.null, expected, atol=1e-9)


def test_a_direction_that_does_not_change_correlates_with_nothing_at_any_shift():
    stretch = torch.full((90, 2), 0.1, dtype=torch.float64)
    stretch[:, 1] = normal(0, 90)
    held = HeldOut(normal(1, 24, 2), stretch, torch.arange(24), 3)

    eye = torch.eye(2, dtype=torch.float64).repeat(8, 1)
    found = find_shared(eye * torch.tensor([2.0, 1.0]), eye * torch.tensor([2.0, 1.0]), held)

    assert found.correlations.abs().min() < 1e-12
    assert found.null.isfinite().all()
    only = HeldOut(held.source[:, :1], stretch[:, :1], held.rows, 3)
    assert find_shared(eye[:, :1], eye[:, :1], only).null.abs().max() == 0


def test_shifts_stay_beyond_the_memory_and_move_every_pair_by_the_same_time():
    held = HeldOut(torch.zeros(3, 1), torch.arange(50.0)[:, None], torch.tensor([0, 20, 49]), 10)
    shifts = held.shifts()

    assert shifts.min() == 10
    assert shifts.max() == 40
    assert len(set(shifts.tolist())) == len(shifts) == 31
    assert held.shifted_rows(torch.tensor([10])).tolist() == [[10, 30, 9]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memory": 4}, "cannot be shifted"),
        ({"memory": 0}, "cannot be shifted"),
        ({"rows": torch.tensor([0, 8])}, "outside the 8 rows"),
        ({"rows": torch.tensor([0])}, "one row number for each"),
        ({"stretch": torch.full((8, 2), torch.nan)}, "not finite"),
        ({"stretch": torch.zeros(8)}, "stretch"),
    ],
)
def test_held_out_pairs_that_do_not_fit_together_are_refused(change, message):
    source, stretch = torch.zeros(2, 3), torch.zeros(8, 2)
    parts = {"source": source, "stretch": stretch, "rows": torch.tensor([0, 7]), "memory": 2}
    HeldOut(**parts)

    with pytest.raises(AlignmentError, match=message):
        HeldOut(**parts | change)


def test_pairs_without_an_order_are_permuted_and_never_shifted():
    held = HeldOut(torch.zeros(40, 1), torch.arange(90.0)[:, None], torch.arange(10, 50), None)

    rows = held.null_rows(7)

    assert rows.shape == (7, 40)
    assert all(sorted(row.tolist()) == list(range(10, 50)) for row in rows)
    assert len({tuple(row.tolist()) for row in rows}) == 7
    torch.testing.assert_close(rows, held.null_rows(7))

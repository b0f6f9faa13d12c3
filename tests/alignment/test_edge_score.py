import math
from dataclasses import replace

import pytest
import torch

from alignment.edge_score import budget_curve, score_edge
from alignment.fit import fit_procrustes, fit_robust
from alignment.score import r2

CORE, DIM = 6, 16


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def two_agents(seed=0, pairs=64, held=500, noise=0.2):
    """Agents that share a core up to a rotation and nothing else: (fit, held), columns in core order."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(normal(generator, CORE, CORE)).Q
    source = normal(generator, pairs + held, DIM)
    target = normal(generator, pairs + held, DIM)
    target[:, :CORE] = source[:, :CORE] @ turn + noise * normal(generator, pairs + held, CORE)
    return (source[:pairs], target[:pairs]), (source[pairs:], target[pairs:])


def generator():
    return torch.Generator().manual_seed(1)


def test_agents_that_share_a_core_are_told_from_chance():
    fit, held = two_agents()
    maps, edge = score_edge(fit, held, (CORE, CORE), generator())

    assert edge.r2_core > 0.9 > edge.r2
    assert edge.null_r2 < 0.0
    assert edge.beats_null
    assert min(edge.spectrum) > 0.9 > 0.4 > max(edge.null_spectrum)
    assert edge.kappa < 1.1
    assert edge.isometry_deviation < 0.1
    assert edge.retrieval_at_1 > 0.8
    assert edge.r2_core == r2(maps.core(held[0][:, :CORE]), held[1][:, :CORE])
    assert edge.r2 == r2(maps.full(held[0]), held[1])


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ({}, True),
        ({"r2_core": 0.1, "null_r2": 0.2}, False),
        ({"r2_core": -0.1, "null_r2": -0.9}, False),  # better than chance, and worse than the mean
        ({"spectrum": (0.2, 0.1), "null_spectrum": (0.3, 0.1)}, False),
        ({"spectrum": (), "null_spectrum": ()}, False),
    ],
)
def test_an_edge_beats_its_null_only_in_every_figure(figures, verdict):
    fit, held = two_agents()
    _, edge = score_edge(fit, held, (CORE, CORE), generator())

    assert replace(edge, **figures).beats_null is verdict


@pytest.mark.parametrize("seed", range(10))
def test_strangers_do_not_beat_the_null(seed):
    fit, held = two_agents(seed)
    order = torch.randperm(len(fit[0]), generator=generator())

    _, edge = score_edge((fit[0], fit[1][order]), (held[0], held[1].flip(0)), (CORE, CORE), generator())

    assert not edge.beats_null
    assert edge.retrieval_at_1 < 0.02


def test_a_map_that_fits_its_own_anchors_perfectly_is_found_out():
    """Strangers, and fewer anchors than dimensions: the fit is perfect, the held-out figures are not."""
    gen = generator()
    fit, held = (normal(gen, 10, DIM), normal(gen, 10, DIM)), (normal(gen, 300, DIM), normal(gen, 300, DIM))
    maps, edge = score_edge(fit, held, (CORE, CORE), gen, ridge=1e-9)

    assert r2(maps.full(fit[0]), fit[1]) > 0.999
    assert edge.r2 < 0
    assert not edge.beats_null


@pytest.mark.parametrize("core_dims", [(0, CORE), (CORE, 0), (0, 0)])
def test_a_collapsed_agent_has_a_worthless_edge_and_no_nan(core_dims):
    fit, held = two_agents()
    _, edge = score_edge(fit, held, core_dims, generator())

    assert edge.spectrum == edge.null_spectrum == ()
    assert edge.r2_core <= 0.0
    assert (edge.kappa, edge.isometry_deviation) == (math.inf, 1.0)
    assert not edge.beats_null


def test_cores_of_different_size_meet_in_the_smaller():
    fit, held = two_agents()
    maps, edge = score_edge(fit, held, (CORE, CORE - 2), generator())

    assert len(edge.spectrum) == CORE - 2
    assert (maps.core.source_dim, maps.core.target_dim) == (CORE, CORE - 2)
    assert edge.r2_core > 0.9


def test_a_robust_core_survives_bad_rows_that_spoil_procrustes():
    (source, target), held = two_agents(noise=0.05)
    target[:12] = 5 * target[:12].flip(0)

    def core_r2(core_fit):
        return score_edge((source, target), held, (CORE, CORE), generator(), core_fit)[1].r2_core

    assert core_r2(fit_robust) > 0.98
    assert core_r2(fit_robust) > core_r2(fit_procrustes)


def test_equal_generators_give_equal_scores():
    fit, held = two_agents()

    assert (
        score_edge(fit, held, (CORE, CORE), generator())[1]
        == score_edge(fit, held, (CORE, CORE), generator())[1]
    )


def test_an_orthogonal_core_needs_fewer_pairs_than_a_full_map():
    fit, held = two_agents(pairs=512)
    curve = budget_curve(fit, held, [8, 512], (CORE, CORE), generator())
    found = {(row["pairs"], row["method"]): row["r2"] for row in curve}

    assert [row["method"] for row in curve] == ["procrustes", "ridge", "robust"] * 2
    assert found[8, "procrustes"] > 0.8 > 0.0 > found[8, "ridge"]
    assert found[512, "procrustes"] >= found[8, "procrustes"]
    assert found[512, "procrustes"] == score_edge(fit, held, (CORE, CORE), generator())[1].r2_core


@pytest.mark.parametrize("budgets", [[0], [4, 65]])
def test_budgets_that_cannot_be_spent_are_refused(budgets):
    fit, held = two_agents(pairs=64)

    with pytest.raises(ValueError, match="between 1 and the 64 fit pairs"):
        budget_curve(fit, held, budgets, (CORE, CORE), generator())

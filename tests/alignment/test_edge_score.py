import math

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


def exceeds_null(edge):
    return edge.r2_core > max(0.0, edge.null_r2) and edge.spectrum[:1] > edge.null_spectrum[:1]


def test_agents_with_a_shared_core_exceed_the_null_in_every_score():
    fit, held = two_agents()
    maps, edge = score_edge(fit, held, (CORE, CORE), generator())

    assert edge.r2_core > 0.9 > edge.r2
    assert edge.null_r2 < 0.0
    assert exceeds_null(edge)
    assert min(edge.spectrum) > 0.9 > 0.4 > max(edge.null_spectrum)
    assert edge.kappa < 1.1
    assert edge.isometry_deviation < 0.1
    assert edge.retrieval_at_1 > 0.8
    assert edge.r2_core == r2(maps.core(held[0][:, :CORE]), held[1][:, :CORE])
    assert edge.r2 == r2(maps.full(held[0]), held[1])


@pytest.mark.parametrize("seed", range(10))
def test_unrelated_agents_do_not_exceed_the_null(seed):
    fit, held = two_agents(seed)
    order = torch.randperm(len(fit[0]), generator=generator())

    _, edge = score_edge((fit[0], fit[1][order]), (held[0], held[1].flip(0)), (CORE, CORE), generator())

    assert not exceeds_null(edge)
    assert edge.retrieval_at_1 < 0.02


def test_a_map_that_overfits_its_anchors_scores_below_the_mean_on_held_out_pairs():
    """Unrelated agents, fewer anchors than dimensions: the fit is perfect, the held-out scores are not."""
    gen = generator()
    fit, held = (normal(gen, 10, DIM), normal(gen, 10, DIM)), (normal(gen, 300, DIM), normal(gen, 300, DIM))
    maps, edge = score_edge(fit, held, (CORE, CORE), gen, ridge=1e-9)

    assert r2(maps.full(fit[0]), fit[1]) > 0.999
    assert edge.r2 < 0
    assert not exceeds_null(edge)


@pytest.mark.parametrize("core_dims", [(0, CORE), (CORE, 0), (0, 0)])
def test_an_edge_of_a_collapsed_agent_has_the_worst_scores_and_no_nan(core_dims):
    fit, held = two_agents()
    _, edge = score_edge(fit, held, core_dims, generator())

    assert edge.spectrum == edge.null_spectrum == ()
    assert edge.r2_core <= 0.0
    assert (edge.kappa, edge.isometry_deviation) == (math.inf, 1.0)
    assert not exceeds_null(edge)


def test_an_edge_of_cores_of_different_size_has_the_spectrum_of_the_smaller():
    fit, held = two_agents()
    maps, edge = score_edge(fit, held, (CORE, CORE - 2), generator())

    assert len(edge.spectrum) == CORE - 2
    assert (maps.core.source_dim, maps.core.target_dim) == (CORE, CORE - 2)
    assert edge.r2_core > 0.9


def test_a_robust_core_fit_tolerates_bad_rows_that_degrade_procrustes():
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
def test_budgets_outside_the_number_of_fit_pairs_are_refused(budgets):
    fit, held = two_agents(pairs=64)

    with pytest.raises(ValueError, match="between 1 and the 64 fit pairs"):
        budget_curve(fit, held, budgets, (CORE, CORE), generator())

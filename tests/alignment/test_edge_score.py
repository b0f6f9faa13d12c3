import math

import pytest
import torch

from alignment.edge_score import budget_curve, score_edge
from alignment.held_out import HeldOut
from alignment.score import r2

CORE, DIM = 6, 16


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def two_agents(seed=0, pairs=64, held=500, noise=0.2, shared=CORE):
    """Agents that share directions of their core up to a rotation and nothing else: (fit, held)."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(normal(generator, CORE, CORE)).Q
    source = normal(generator, pairs + held, DIM)
    target = normal(generator, pairs + held, DIM)
    common = source[:, :shared] + noise * normal(generator, pairs + held, shared)
    target[:, :CORE] = torch.cat([common, target[:, shared:CORE]], 1) @ turn
    return (source[:pairs], target[:pairs]), HeldOut.of_pairs(source[pairs:], target[pairs:])


def generator():
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("ridge", [0.1, 400.0])
def test_the_curve_ends_at_the_score_of_the_full_map_whatever_its_ridge(ridge):
    fit, held = two_agents()
    _, core, edge = score_edge(fit, held, (CORE, CORE), ridge)
    curve = budget_curve(fit, held, [len(fit[0])], (CORE, CORE), core, generator(), ridge)

    (last,) = [row["r2"] for row in curve if row["method"] == "ridge"]
    assert last == pytest.approx(edge.r2, abs=1e-6)


def test_agents_with_a_shared_core_exceed_the_null_in_every_score():
    fit, held = two_agents()
    maps, core, edge = score_edge(fit, held, (CORE, CORE))

    assert edge.shared_dim == core.dim == CORE
    assert edge.latent_shared_dim >= CORE
    assert min(edge.correlations) > 0.9 > 0.4 > edge.null_correlation
    assert edge.r2_shared > 0.9 > edge.r2
    assert edge.kappa < 1.1
    assert edge.isometry_deviation < 0.1
    assert edge.retrieval_at_1 > 0.8
    assert edge.r2_shared == pytest.approx(r2(maps.shared(held.source[:, :CORE]), held.target[:, :CORE]))
    assert edge.r2 == r2(maps.full(held.source), held.target)


@pytest.mark.parametrize("seed", range(10))
def test_unrelated_agents_share_nothing(seed):
    fit, held = two_agents(seed)
    order = torch.randperm(len(fit[0]), generator=generator())

    maps, _, edge = score_edge(
        (fit[0], fit[1][order]), HeldOut.of_pairs(held.source, held.target.flip(0)), (CORE, CORE)
    )

    assert edge.shared_dim == 0
    assert (edge.r2_shared, edge.retrieval_at_1) == (0.0, 0.0)
    assert maps.shared.weight.abs().max() == 0


@pytest.mark.parametrize("shared", range(1, CORE))
def test_a_partial_overlap_is_mapped_and_its_rest_is_private(shared):
    fit, held = two_agents(pairs=256, shared=shared)
    maps, _, edge = score_edge(fit, held, (CORE, CORE))

    assert edge.shared_dim == shared
    assert edge.r2_shared > 0.9
    assert int(torch.linalg.matrix_rank(maps.shared.weight)) == shared
    assert max(edge.correlations[shared:]) <= edge.null_correlation


def test_a_map_that_overfits_its_anchors_shares_nothing_on_held_out_pairs():
    """Unrelated agents, fewer anchors than dimensions: the fit is perfect, the held-out scores are not."""
    gen = generator()
    fit = normal(gen, 10, DIM), normal(gen, 10, DIM)
    held = HeldOut.of_pairs(normal(gen, 300, DIM), normal(gen, 300, DIM))
    maps, _, edge = score_edge(fit, held, (CORE, CORE), ridge=1e-9)

    assert r2(maps.full(fit[0]), fit[1]) > 0.999
    assert edge.r2 < 0
    assert edge.shared_dim == edge.latent_shared_dim == 0


@pytest.mark.parametrize("core_dims", [(0, CORE), (CORE, 0), (0, 0)])
def test_an_edge_of_a_collapsed_agent_has_the_worst_scores_and_no_nan(core_dims):
    fit, held = two_agents()
    _, _, edge = score_edge(fit, held, core_dims)

    assert edge.correlations == ()
    assert (edge.shared_dim, edge.r2_shared, edge.retrieval_at_1) == (0, 0.0, 0.0)
    assert (edge.kappa, edge.isometry_deviation, edge.null_correlation) == (math.inf, 1.0, 1.0)


def test_an_edge_of_cores_of_different_size_has_the_directions_of_the_smaller():
    fit, held = two_agents(pairs=256)
    maps, _, edge = score_edge(fit, held, (CORE, CORE - 2))

    assert len(edge.correlations) == edge.shared_dim == CORE - 2
    assert (maps.shared.source_dim, maps.shared.target_dim) == (CORE, CORE - 2)
    assert edge.r2_shared > 0.9


def test_equal_pairs_give_equal_scores():
    fit, held = two_agents()

    assert score_edge(fit, held, (CORE, CORE))[2] == score_edge(fit, held, (CORE, CORE))[2]


def curve_of(fit, held, budgets):
    core = score_edge(fit, held, (CORE, CORE))[1]
    return budget_curve(fit, held, budgets, (CORE, CORE), core, generator())


def test_an_orthogonal_core_needs_fewer_pairs_than_a_full_map():
    fit, held = two_agents(pairs=512)
    curve = curve_of(fit, held, [8, 512])
    found = {(row["pairs"], row["method"]): row["r2"] for row in curve}

    assert [row["method"] for row in curve] == ["procrustes", "ridge", "robust"] * 2
    assert found[8, "procrustes"] > 0.8 > 0.0 > found[8, "ridge"]
    assert found[512, "procrustes"] >= found[8, "procrustes"]
    assert found[512, "procrustes"] == pytest.approx(score_edge(fit, held, (CORE, CORE))[2].r2_shared)


def test_the_curve_of_a_partial_overlap_is_of_the_shared_directions_and_rises():
    fit, held = two_agents(pairs=512, shared=3)
    found = [row["r2"] for row in curve_of(fit, held, [8, 32, 128, 512]) if row["method"] == "procrustes"]

    assert found == sorted(found)
    assert found[-1] > 0.9


def test_a_robust_fit_tolerates_bad_rows_that_degrade_procrustes():
    (source, target), held = two_agents(noise=0.05)
    target[:12] = 2 * normal(generator(), 12, DIM)
    found = {row["method"]: row["r2"] for row in curve_of((source, target), held, [64])}

    assert found["robust"] > 0.98
    assert found["robust"] > found["procrustes"]


@pytest.mark.parametrize("budgets", [[0], [4, 65]])
def test_budgets_outside_the_number_of_fit_pairs_are_refused(budgets):
    fit, held = two_agents(pairs=64)

    with pytest.raises(ValueError, match="between 1 and the 64 fit pairs"):
        curve_of(fit, held, budgets)

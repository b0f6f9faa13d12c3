"""Laws of the score of an edge, on planted cores, and of the worst and the best pair."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from social_jepa.experiments.common.edges import Embeddings, Pairing, find_edge
from social_jepa.experiments.framework.experiment import ConditionResult, PartialResults, Results
from social_jepa.experiments.framework.registry import build_settings
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.heterogeneous import run as run_module
from social_jepa.experiments.heterogeneous.edges import (
    EdgeResults,
    all_edges,
    at_other_times,
    score_edge,
    shared_r2,
)
from social_jepa.experiments.heterogeneous.metrics import (
    WORST_PAIRS,
    make_metrics,
    make_notes,
)
from social_jepa.experiments.heterogeneous.plots import mean_matrix
from social_jepa.experiments.heterogeneous.run import EXPERIMENT
from social_jepa.experiments.heterogeneous.settings import CONTROL, DIMS, KINDS, VARIANTS

POOL, FACTORS = 512, 4
PAIRING = Pairing(anchors=128, heldout=256, memory_rows=8)
SETTINGS = build_settings(EXPERIMENT, True, ["setup.scene.objects=2", "setup.model.dim=8",
    "setup.model.p_jepa.controlled_objects=2", f"setup.negotiation.pool_ticks={POOL}",
    "setup.negotiation.anchors=128", "setup.negotiation.heldout=256"])  # fmt: skip


def factors(pool, seed=0, rho=0.5):
    """Return white Gaussian factors with memory, [POOL, FACTORS]; pools are different stretches of time."""
    noise = np.random.default_rng([seed, pool]).normal(size=(POOL + 50, FACTORS))
    rows = np.zeros_like(noise)
    for tick in range(1, len(noise)):
        rows[tick] = rho * rows[tick - 1] + np.sqrt(1 - rho**2) * noise[tick]
    return rows[50:]


def agent(rotation=0, noise=0.05, seen=range(FACTORS), extra=0, seed=0):
    """Return planted embeddings: a rotation of some factors as the core, `extra` private axes among it."""
    rng, pools = np.random.default_rng([7, rotation]), []
    width = len(seen) + extra
    turn = np.linalg.qr(rng.normal(size=(width, width)))[0]
    for pool in (0, 1):
        private = rng.normal(size=(POOL, extra + 2))
        core = np.hstack([factors(pool, seed)[:, list(seen)], private[:, :extra]]) @ turn
        core = core + noise * rng.normal(size=core.shape)
        pools.append(torch.from_numpy(np.hstack([core, private[:, extra:]])).float())
    return Embeddings(*pools, core_dim=width)


def test_a_pair_that_differs_by_a_rotation_alone_has_r2_one():
    edge = score_edge(agent(1, noise=0), agent(2, noise=0), PAIRING, FACTORS)

    assert edge.accepted == 1
    assert edge.shared_dim == FACTORS
    assert edge.r2 == pytest.approx(1, abs=0.02)  # sample covariances are not exactly white
    same = agent(1, noise=0)
    assert score_edge(same, same, PAIRING, FACTORS).r2 == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_pair_at_other_times_has_r2_near_or_below_zero(seed):
    one, other = agent(1, seed=seed), agent(2, seed=seed)
    edge = score_edge(one, other, PAIRING, FACTORS)

    assert edge.r2 > 0.9
    null = find_edge(*at_other_times(one, other), PAIRING)
    assert edge.null == shared_r2(null, FACTORS) < 0.1
    rolled = replace(other, anchors=other.anchors.roll(100, 0), heldout=other.heldout.roll(100, 0))
    assert score_edge(one, rolled, PAIRING, FACTORS).r2 < 0.1


def test_the_null_pairs_rows_half_of_a_pool_apart_in_both_pools():
    rows = torch.arange(POOL, dtype=torch.float32)[:, None]
    source, target = at_other_times(Embeddings(rows, rows, 1), Embeddings(rows, rows, 1))

    for pool in ("anchors", "heldout"):
        distance = getattr(target, pool) - getattr(source, pool)
        assert (distance == POOL // 2).all()


@pytest.mark.parametrize("seen", range(1, FACTORS + 1))
def test_factors_that_an_agent_did_not_find_count_as_missed_in_both_directions(seen):
    full, part = agent(1, noise=0), agent(2, noise=0, seen=range(seen))

    for edge in (score_edge(full, part, PAIRING, FACTORS), score_edge(part, full, PAIRING, FACTORS)):
        assert edge.shared_dim == seen
        assert edge.r2 == pytest.approx(seen / FACTORS, abs=0.06)


def test_axes_of_the_target_without_a_partner_count_as_missed():
    plain, larger = agent(1, noise=0), agent(2, noise=0, extra=2)

    into, out = score_edge(plain, larger, PAIRING, FACTORS), score_edge(larger, plain, PAIRING, FACTORS)

    assert into.r2 == pytest.approx(FACTORS / (FACTORS + 2), abs=0.06)
    assert out.r2 == pytest.approx(1, abs=0.06)


def test_ridge_reads_what_a_core_of_fewer_axes_leaves_outside():
    small = replace(agent(1, noise=0), core_dim=FACTORS // 2)
    edge = score_edge(small, agent(2, noise=0), PAIRING, FACTORS)

    assert edge.r2 < 0.6
    assert edge.ridge > 0.95


def test_unrelated_agents_are_refused():
    edge = score_edge(agent(1), agent(2, seed=9), PAIRING, FACTORS)

    assert edge.accepted == edge.shared_dim == 0
    assert edge.r2 < 0.1
    assert edge.ridge < 0.1


@pytest.mark.parametrize("without", ["source", "target"])
def test_an_agent_without_a_core_shares_nothing(without):
    agents = {"source": agent(1), "target": agent(2)}
    agents[without] = replace(agents[without], core_dim=0)
    edge = score_edge(**agents, pairing=PAIRING, factors=FACTORS)

    assert edge.accepted == edge.shared_dim == edge.r2 == edge.null == 0
    assert (edge.ridge > 0.9) == (without == "source")


def planted_result(name, seed):
    """Return the result of an agent; those of `narrow` miss half of the factors, of the control all."""
    options = {"narrow": {"seen": range(2)}, CONTROL: {"seed": 99}}.get(name, {})
    noise = 0.02 * (1 + (list(VARIANTS).index(name) * 7 + seed) % 5)
    rows = agent(list(VARIANTS).index(name) + 100 * seed, noise, **options)
    scores = dict.fromkeys(("state", "state, shifted", "state, core only"), Score.single(0.5))
    scores |= dict.fromkeys(("core dim", "compared axes"), Score.single(rows.core_dim))
    if name == CONTROL:
        values = {"untrained": 0.1, "pixel PCA": 0.2, "linear tICA": 0.6 + 0.1 * seed}
        scores |= {f"{baseline}: R2": Score.single(value) for baseline, value in values.items()}
    arrays = {"anchors": rows.anchors.numpy(), "heldout": rows.heldout.numpy()}
    return ConditionResult(scores, {**arrays, "frame": np.zeros((8, 8, 3), np.uint8)})


@pytest.fixture(scope="module")
def results():
    found = {(name, seed): planted_result(name, seed) for seed in (0, 1) for name in VARIANTS}
    return Results(found, [0, 1])


def test_the_worst_pair_is_the_minimum_over_all_ordered_pairs_of_each_seed(results):
    table = {metric.name: metric for metric in make_metrics(results, SETTINGS)}

    for text, names in {"dimensions of the latent": DIMS, "kinds that learned": KINDS}.items():
        assert len(WORST_PAIRS[text]) == len(names) * (len(names) - 1)
        for number, seed in enumerate(results.seeds):
            edges = all_edges(results, seed, SETTINGS)
            lowest = min(edges[a, b].r2 for a in names for b in names if a != b)
            assert table[f"R2: worst pair of {text}"].estimate.seeds[number] == lowest > 0.9
    best = table["R2: best pair with the untrained agent"]
    for number, seed in enumerate(results.seeds):
        with_control = [
            edge.r2 for pair, edge in all_edges(results, seed, SETTINGS).items() if CONTROL in pair
        ]
        assert best.estimate.seeds[number] == max(with_control) < 0.1


def test_the_best_baseline_is_subtracted_in_each_seed(results):
    table = {metric.name: metric for metric in make_metrics(results, SETTINGS)}
    worst = table["R2: worst pair of kinds that learned"]
    gain = table["R2: worst pair of kinds that learned minus the best baseline"]

    assert gain.estimate.seeds == pytest.approx(
        [worst.estimate.seeds[0] - 0.6, worst.estimate.seeds[1] - 0.7]
    )
    assert (worst.untrained, worst.pixel_pca, worst.tica) == pytest.approx((0.1, 0.2, 0.65))


def test_only_the_four_thresholds_are_goals_and_agents_with_labels_enter_none(results):
    table = make_metrics(results, SETTINGS)

    goals = [str(metric.threshold) for metric in table if metric.threshold]
    assert goals == [">= 0.88", ">= 0.85", "< 0.5", "> 0"]
    assert len({metric.name for metric in table}) == len(table)
    assert not {"p-jepa-positions", "p-jepa-random", "frozen-encoder"} & {*DIMS, *KINDS}


def test_notes_name_refused_edges_and_cores(results):
    cores, refused, *_ = make_notes(results, SETTINGS)

    assert "narrow 2, 2;" in cores
    assert refused.endswith("none.")


def test_a_matrix_holds_the_scores_of_the_edges_and_no_diagonal(results):
    by_seed = EdgeResults(results, SETTINGS).by_seed
    matrix = mean_matrix([{pair: edge.r2 for pair, edge in edges.items()} for edges in by_seed])
    index = list(VARIANTS).index

    expected = np.mean([edges["narrow", "ema"].r2 for edges in by_seed])
    assert matrix[index("narrow"), index("ema")] == pytest.approx(expected)
    assert np.isnan(np.diag(matrix)).all()


def test_metrics_of_some_conditions_are_nan_where_an_agent_did_not_run():
    found = {(name, 0): planted_result(name, 0) for name in ("jepa", "vicreg")}
    table = {metric.name: metric for metric in make_metrics(PartialResults(found, [0]), SETTINGS)}

    assert table["R2: jepa to vicreg"].estimate.value > 0.9
    assert np.isnan(table["R2: jepa to ema"].estimate.value)
    assert np.isnan(table["R2: worst pair of kinds that learned"].estimate.value)


def test_baselines_are_scored_by_the_code_that_scores_agents(monkeypatch):
    class Member:
        def __init__(self, embeddings):
            self.embeddings = embeddings

    monkeypatch.setattr(Embeddings, "of", lambda member: member.embeddings)
    first, second = agent(1, noise=0.3), agent(2, noise=0.3, seen=range(3))
    score = run_module.pair_scores([Member(first), Member(second)], PAIRING, FACTORS)["R2"].score

    both = [score_edge(*pair, PAIRING, FACTORS).r2 for pair in ((first, second), (second, first))]
    assert score == pytest.approx(np.mean(both))

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.protocol.settings import NegotiationConfig
from agents.settings import ModelConfig, TrainingConfig
from alignment.anchors import AnchorSet
from alignment.universe import fit_universe
from env.scene import SceneConfig
from social_jepa.experiments.common.trained_agents import AgentSetup
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe import run as society
from social_jepa.experiments.universe import ways
from social_jepa.experiments.universe.shuffles import of_a_few

NAMES = ("ann", "ben", "cas", "dan", "eva")
TINY = society.Settings(
    upbringing=AgentSetup(
        scene=SceneConfig(renderer="toy", frame_size=16, objects=1),
        model=ModelConfig(dim=3, width=4, hidden=8),
        training=TrainingConfig(steps=3, segments=8, replay_ticks=64, core_eval_ticks=64),
        negotiation=NegotiationConfig(pool_ticks=64, anchors=16, heldout=32),
    ),
    sizes=(3, 4), budgets=(8, 16), pairs=16, hops=(1, 2), dealt=(16,), company=4, few=2, draws=2, cycles=2,
)  # fmt: skip


class Planted:
    """A stranger whose core is a noisy turn of one latent."""

    def __init__(self, name: str, latent: np.ndarray, noise: float, rng: np.random.Generator) -> None:
        turn = np.linalg.qr(rng.standard_normal((latent.shape[1],) * 2))[0]
        seen = torch.from_numpy(latent @ turn + noise * rng.standard_normal(latent.shape))
        half = len(seen) // 2
        self.name, self.core_dim = name, latent.shape[1]
        self.anchors = AnchorSet(tuple(range(half)), seen[:half], self.core_dim)
        self.heldout = AnchorSet(tuple(range(half, 2 * half)), seen[half:], self.core_dim)


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(3)
    latent = rng.standard_normal((400, 3))
    return [Planted(name, latent, 0.1, rng) for name in NAMES]


def plain_universe(cores: list[np.ndarray], turns: int = 300) -> tuple[np.ndarray, list[np.ndarray]]:
    """Generalised Procrustes analysis by turns, in numpy alone: (consensus up to scale, maps)."""
    middle = cores[-1]
    for _ in range(turns):
        maps = []
        for core in cores:
            u, _, vt = np.linalg.svd(core.T @ middle)
            maps.append(u @ vt)
        middle = np.mean([core @ turn for core, turn in zip(cores, maps, strict=True)], axis=0)
    return middle, maps


def test_the_universe_is_that_of_another_implementation_up_to_a_turn(planted):
    cores = ways.chosen(planted, 64, 0, 0)
    ours = fit_universe(cores)
    middle, maps = plain_universe([core.numpy() for core in cores.values()])

    inner, inner_too = (rows @ rows.T for rows in (middle, ours.consensus.numpy()))
    assert np.allclose(inner / np.trace(inner), inner_too / np.trace(inner_too), atol=1e-6)
    for a, name in enumerate(NAMES):
        for b, other in enumerate(NAMES):
            assert np.allclose(maps[a] @ maps[b].T, ours.between(name, other).weight.numpy(), atol=1e-4)


def test_a_planted_society_is_found_and_strangers_are_not(planted):
    cores = ways.chosen(planted, 64, 0, 0)
    unrelated = ways.shuffled(cores, 1.0, np.random.default_rng(0))
    for fit in (ways.direct, lambda shown: fit_universe(shown).between):
        assert Score.average(ways.edges_r2(planted, [fit(cores)])).score > 0.95
        assert Score.average(ways.edges_r2(planted, [fit(unrelated)])).score < 0


def test_a_longer_path_is_never_better_and_a_universe_closes_every_cycle(planted):
    cores = ways.chosen(planted, 8, 0, 0)
    direct, rng = ways.direct(cores), np.random.default_rng(0)
    chain = ways.composed(direct, NAMES, 3, rng)
    scores = [Score.average(ways.edges_r2(planted, [way])).score for way in (direct, chain)]
    orders = [rng.permutation(5) for _ in range(4)]

    assert scores[1] < scores[0]
    assert ways.around(fit_universe(cores).between, planted, orders).score < 1e-20
    assert ways.around(direct, planted, orders).score > 1e-6
    assert torch.equal(ways.composed(direct, NAMES, 0, rng)("ann", "eva").weight, direct("ann", "eva").weight)
    with pytest.raises(ValueError, match="needs 6 agents"):
        ways.composed(direct, NAMES, 4, rng)


def test_who_joins_sends_one_message_and_a_refit_tells_everybody(planted):
    cores = ways.chosen(planted, 64, 0, 0)
    others = fit_universe({name: cores[name] for name in NAMES[:-1]})
    joined, refit = ways.joining(cores, "eva"), fit_universe(cores)

    assert ways.messages(others, joined) == 1
    assert ways.messages(others, refit) > 1
    for told in (joined, refit):
        assert Score.average(ways.edges_r2(planted, [told.between], ways.with_one(NAMES, "eva"))).score > 0.95
    assert len(ways.edges_r2(planted, [refit.between], ways.with_one(NAMES, "eva"))) == 8


def test_more_pairs_add_ticks_and_shuffled_rows_stay_a_set(planted):
    few, many = (ways.chosen(planted, pairs, 1, 0) for pairs in (8, 32))
    dealt = ways.shuffled(many, 0.5, np.random.default_rng(1))
    for name in NAMES:
        rows = {tuple(row) for row in many[name].tolist()}
        assert (
            {tuple(row) for row in few[name].tolist()} < rows == {tuple(row) for row in dealt[name].tolist()}
        )
        assert int((dealt[name] == many[name]).all(1).sum()) == 16
    none = ways.shuffled(many, 0.0, np.random.default_rng(1))
    assert all(torch.equal(none[name], many[name]) for name in NAMES)


def test_where_a_few_mix_up_their_rows_the_others_hold_a_universe_together():
    rng = np.random.default_rng(4)
    latent = rng.standard_normal((400, 3))
    company = [Planted(f"agent-{index}", latent, 0.1, rng) for index in range(10)]
    settings = replace(TINY, company=10, few=3, sizes=(3, 10), draws=4)
    found = {name: measure.score for name, measure in of_a_few(company, 200, 0, settings).items()}

    assert found["few, universe, trimmed, two of them, 200"] > 0.9
    assert found["few, universe, two of them, 200"] > found["few, pairwise, two of them, 200"] + 0.5
    assert found["few, universe, two of them, 200, null"] < 0
    assert found["few, universe, two others, 200"] > 0.95


def test_hostile_settings_are_refused():
    for wrong in ({"sizes": (2, 4)}, {"sizes": (4, 3)}, {"pairs": 9}, {"hops": (3,)}, {"shares": (2.0,)},
                  {"keep": 1.0}, {"draws": 0}, {"dealt": (65,)}, {"few": 4},
                  {"company": 5}, {"mixed": 1.5}, {"budgets": (16, 100)}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(TINY, **wrong)


def test_a_tiny_run_gives_every_figure_and_stays_the_same():
    outcome, again = (society.run("toy", 0, TINY, lambda text: None) for _ in "ab")
    for name, measure in outcome.scores.items():
        assert np.array_equal(measure.values, again.scores[name].values), name
    results = Results({("toy", 0): outcome}, [0])
    found = society.figures(results, TINY)

    assert all(np.isfinite(figure.estimate.value) for figure in found)
    assert [figure.group for figure in found if figure.threshold] == ["goals"] * 3
    assert all(isinstance(note, str) for note in society.notes(results, TINY))
    for picture in society.pictures(results, TINY).values():
        picture.canvas.draw()

"""Baselines of similarities learn nothing, and stand beside each similarity."""

import numpy as np
import pytest
import torch

from agents.models.settings import ModelConfig
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.baselines import LinearTica, PixelPca
from social_jepa.experiments.common.pairs import edge_r2, fit_edge
from social_jepa.experiments.common.similarity_baselines import (
    METHODS,
    PIXEL_PCA,
    TICA,
    UNTRAINED,
    baseline_agents,
    baseline_name,
    baseline_scores,
    similarity,
    similarity_of,
    with_core_dim,
)
from social_jepa.experiments.common.trained_agents import (
    QUICK_SETUP,
    AgentSetup,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Metric, Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.table import (
    COLUMNS,
    NOT_RECORDED,
    SIMILARITY_COLUMNS,
    columns,
    format_cells,
    markdown_page,
)
from social_jepa.records import replace
from tests.support.results_document import PLAIN

SETUP = build_config(AgentSetup, QUICK_SETUP, [])
AXES = 2


def discard(text):
    pass


@pytest.fixture(scope="module")
def agents():
    return baseline_agents(SETUP, 3, (0, 1), ring_poses(SETUP, 2), discard, axes=AXES)


def test_the_baselines_take_no_step_and_have_the_asked_axes(agents):
    assert list(agents) == list(METHODS) == [UNTRAINED, PIXEL_PCA, TICA]
    for members in agents.values():
        assert [agent.name for agent in members] == ["agent-0", "agent-1"]
        assert all(agent.flops == 0 for agent in members)
        assert all(agent.core_dim == agent.heldout.core_dim == AXES for agent in members)
    assert all(type(agent.model) is PixelPca for agent in agents[PIXEL_PCA])
    assert all(type(agent.model) is LinearTica for agent in agents[TICA])


def test_linear_tica_finds_a_planted_slow_pattern_that_principal_components_miss():
    """Ten loud patterns are white in time; a faint one predicts its own next value."""
    rng, ticks, side = np.random.default_rng(0), 4096, 16
    slow = np.zeros(ticks)
    for tick in range(1, ticks):
        slow[tick] = 0.9 * slow[tick - 1] + 0.19**0.5 * rng.standard_normal()
    loud, faint = rng.standard_normal((ticks, 10)), slow[:, None]
    pixels = np.concatenate([12 * loud, 3 * faint], 1) @ np.linalg.qr(rng.standard_normal((768, 11)))[0].T
    frames = torch.from_numpy((128 + 4 * pixels).clip(0, 255).astype(np.uint8).reshape(ticks, side, side, 3))
    model = LinearTica(ModelConfig(dim=2), side)
    model.calibrate(frames[:1024])
    components = model.encode(frames)

    model.fit(lambda read: frames[read.start : read.stop : read.step], range(ticks))
    found = model.encode(frames)
    model.calibrate(frames[:256])  # as training does again: it keeps what was fitted

    assert torch.equal(model.encode(frames), found)
    agreement = [abs(np.corrcoef(rows[:, 0].numpy(), slow)[0, 1]) for rows in (found, components)]
    assert agreement[0] > 0.95
    assert agreement[1] < 0.2


def test_an_untrained_encoder_has_its_initial_weights(agents):
    with untrained_agent(SETUP, 3, 1, ring_poses(SETUP, 2)) as agent:
        train_agent(agent, discard, until=0)
        initial = trained_agent(agent)

    found = agents[UNTRAINED][1]
    for one, other in zip(initial.model.parameters(), found.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(initial.heldout.vectors, found.heldout.vectors)


def test_without_a_number_of_axes_the_core_is_the_detected_one_and_never_exceeds_the_latents(agents):
    poses = ring_poses(SETUP, 2)
    detected = baseline_agents(SETUP, 3, (0,), poses, discard, methods=(PIXEL_PCA,))
    wide = baseline_agents(SETUP, 3, (0,), poses, discard, axes=99, methods=(PIXEL_PCA,))

    assert list(detected) == [PIXEL_PCA]
    assert detected[PIXEL_PCA][0].core_dim == detected[PIXEL_PCA][0].basis.core_dim
    assert wide[PIXEL_PCA][0].core_dim == SETUP.model.dim


def test_an_agent_is_prepared_before_it_sees_a_frame():
    seen = []

    def prepare(agent, index):
        seen.append((index, agent.trainer.step, agent.published))

    baseline_agents(SETUP, 3, (1,), ring_poses(SETUP, 2), discard, prepare=prepare)

    assert seen == [(1, 0, None)] * len(METHODS)


def test_scores_of_baselines_are_the_arguments_of_a_metric(agents):
    def r2(pair):
        return {"R2": edge_r2(fit_edge(*pair, 16, 0), *pair)}

    scores = baseline_scores(agents, r2)
    results = Results({("c", 0): ConditionResult(scores)}, [0])

    assert set(scores) == {"untrained: R2", "pixel PCA: R2", "linear tICA: R2"}
    assert similarity(results, "c", "R2") == {
        "untrained": r2(agents[UNTRAINED])["R2"].score, "pixel_pca": r2(agents[PIXEL_PCA])["R2"].score,
        "tica": r2(agents[TICA])["R2"].score,
    }  # fmt: skip
    metric = Metric("R2", Estimate((0.9,)), **similarity(results, "c", "R2"))
    assert metric.to_row().untrained == scores[baseline_name(UNTRAINED, "R2")].score


def test_baselines_that_are_conditions_are_read_there():
    found = {name: ConditionResult({"R2": Score.single(value)}) for name, value in (("u", 0.1), ("p", 0.2))}
    results = Results({(name, 0): result for name, result in found.items()}, [0])

    assert similarity_of(results, "u", "p", "R2") == {"untrained": 0.1, "pixel_pca": 0.2}


def test_the_leading_axes_become_the_core(agents):
    one = with_core_dim(agents[UNTRAINED][0], 1)

    assert one.core_dim == one.anchors.core_dim == one.heldout.core().shape[1] == 1
    assert torch.equal(one.heldout.vectors, agents[UNTRAINED][0].heldout.vectors)


def test_tables_have_columns_of_the_baselines_where_a_metric_has_them():
    row = replace(PLAIN.metrics[0], untrained=0.25, tica=None)
    other = replace(PLAIN.metrics[0], untrained=None, tica=0.5)
    compared = replace(PLAIN, metrics=(row, other))

    assert columns(PLAIN) == COLUMNS
    assert columns(compared) == (*COLUMNS[:5], "untrained", "linear tICA", *COLUMNS[5:])
    assert set(columns(compared)) - set(COLUMNS) < set(SIMILARITY_COLUMNS)
    assert format_cells(row, compared)[3:] == ("0", "0.300", "0.250", "", ">= 0.7", "no")
    assert format_cells(other, compared)[5:7] == ("", "0.500")
    assert len(format_cells(row, compared)) == len(columns(compared))


def test_a_page_says_which_baselines_an_earlier_run_did_not_record():
    earlier = replace(PLAIN, name="isometry")
    compared = replace(earlier, metrics=(replace(PLAIN.metrics[0], untrained=0.1, pixel_pca=0.2),))

    assert NOT_RECORDED in markdown_page(earlier)
    assert NOT_RECORDED not in markdown_page(compared)
    assert NOT_RECORDED not in markdown_page(replace(PLAIN, name="collapse"))

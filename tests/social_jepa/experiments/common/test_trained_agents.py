"""Laws of the agents that experiments raise, and of the maps between them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from agents.protocol.settings import tick_ranges
from agents.training.settings import GAP
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from alignment.score import r2
from env.scene import Scene
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.pairs import (
    anchor_pairs,
    average_over_edges,
    edge_r2,
    fit_edge,
    fit_shuffled,
    heldout_pairs,
)
from social_jepa.experiments.common.trained_agents import (
    QUICK_SETUP,
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    train_agents,
    train_on_later_ticks,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.common.training_loop import count_flops
from social_jepa.experiments.framework.score import Score


def silent(text):
    del text


@pytest.fixture(scope="module")
def upbringing():
    return build_config(AgentSetup, QUICK_SETUP, ["training.steps=60", "training.replay_ticks=1024"])


@pytest.fixture(scope="module")
def raised(upbringing):
    return train_agents(upbringing, 0, ring_poses(upbringing, 2), silent)


def planted(name, seed, noise=0.0, dim=3, rows=200):
    """A stranger whose core is a turn of common coordinates."""
    generator = torch.Generator().manual_seed(7)
    sets = [torch.randn(rows, dim, generator=generator, dtype=torch.float64) for _ in range(2)]
    own = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=own, dtype=torch.float64))[0]
    codes = [z @ turn + noise * torch.randn(rows, dim, generator=own, dtype=torch.float64) for z in sets]
    basis = CoreBasis(torch.zeros(dim), torch.eye(dim), torch.full((dim,), 0.7), dim)
    anchors, heldout = (AnchorSet(tuple(range(rows)), code, dim) for code in codes)
    return TrainedAgent(name, torch.nn.Identity(), basis, anchors, heldout, None, 0, 0.0)


def test_strangers_share_no_weights_and_raising_them_again_gives_the_same(upbringing, raised):
    again = train_agents(upbringing, 0, ring_poses(upbringing, 2), silent)

    for one, two in zip(raised, again, strict=True):
        assert torch.equal(one.heldout.vectors, two.heldout.vectors)
    first, second = (dict(stranger.model.named_parameters()) for stranger in raised)
    assert not any(torch.equal(first[name], second[name]) for name in first if name.endswith("weight"))


def test_what_scores_and_what_fits_and_what_trains_are_stretches_apart(upbringing, raised):
    gap = max(GAP, raised[0].scene.config.decorrelation_ticks)
    held, fit, first = tick_ranges(upbringing.negotiation, gap)

    assert raised[0].heldout.ids == tuple(held)
    assert raised[0].anchors.ids == tuple(fit)
    assert max(held) < min(fit) <= max(fit) < first


def test_frames_and_operations_are_those_of_the_course(upbringing, raised):
    training = upbringing.training

    assert raised[0].frames == training.steps * training.segments * training.segment_ticks
    assert raised[0].flops == raised[1].flops > raised[0].frames * 1e3


def test_what_is_counted_is_steps_and_not_the_calibration_before_the_first():
    small = build_config(
        AgentSetup,
        QUICK_SETUP,
        ["training.steps=3", "training.replay_ticks=256", "model.p_jepa.controlled_objects=1"],
    )
    with untrained_agent(
        small, 0, 0, ring_poses(small, 1), "p_jepa"
    ) as agent:  # it encodes frames to calibrate
        flops = train_agent(agent, silent)
        assert flops == 3 * count_flops(lambda: agent.train(until=4))[1]


def test_true_states_belong_to_the_ticks_of_a_set(upbringing, raised):
    states = raised[0].states(raised[0].heldout)

    scene = Scene(upbringing.scene, 0)
    assert np.array_equal(states[3].numpy(), scene.state(raised[0].heldout.ids[3]).factors)


def test_a_course_in_pieces_is_the_course_and_no_file_stays_behind(upbringing):
    poses = ring_poses(upbringing, 2)
    kept = []
    for until in ([None], [20, None]):
        with untrained_agent(upbringing, 0, 1, poses) as agent:
            folder = Path(agent.spec.folder)
            for step in until:
                train_agent(agent, silent, step)
            kept.append(trained_agent(agent).heldout.vectors)
        assert not folder.exists()
    assert torch.equal(*kept)


def test_who_has_not_learned_keeps_first_weights_and_has_cost_nothing(upbringing):
    with untrained_agent(upbringing, 0, 0, ring_poses(upbringing, 1)) as agent:
        with pytest.raises(ValueError, match="let it learn first"):
            trained_agent(agent)
        before = {name: value.clone() for name, value in agent.model.named_parameters()}
        flops = train_agent(agent, silent, until=0)
        stranger = trained_agent(agent)

    assert flops == 0
    assert stranger.frames == 0
    assert all(torch.equal(value, before[name]) for name, value in stranger.model.named_parameters())


def test_later_stretches_are_other_frames_with_the_same_anchors(upbringing, raised):
    with untrained_agent(upbringing, 0, 0, ring_poses(upbringing, 2)) as agent:
        train_on_later_ticks(agent, 5000)
        train_agent(agent, silent)
        assert agent.trainer.replay_buffer.ticks.start == agent.train_start + 5000
        late = trained_agent(agent)

    assert late.anchors.ids == raised[0].anchors.ids
    assert not torch.equal(late.heldout.vectors, raised[0].heldout.vectors)


def test_a_planted_turn_is_recovered_and_shuffled_pairs_recover_nothing():
    one, two = planted("one", 1), planted("two", 2)

    assert edge_r2(fit_edge(one, two, 20, 0), one, two).score == pytest.approx(1.0)
    assert edge_r2(fit_shuffled(one, two, 200, 0), one, two).score < 0


def test_more_anchors_of_one_seed_add_to_fewer():
    one, two = planted("one", 1), planted("two", 2)

    few, many = (anchor_pairs(one, two, count, 3)[0] for count in (10, 50))
    rows = {tuple(row) for row in many.tolist()}
    assert all(tuple(row) in rows for row in few.tolist())


def test_the_mean_over_edges_is_the_mean_of_the_products_r2():
    strangers = [planted(name, seed, noise=0.3 * seed) for seed, name in enumerate("abc")]

    def own(source, target):
        return edge_r2(fit_edge(source, target, 50, 0), source, target)

    mean, each = average_over_edges(strangers, own)

    pairs = [(a, b) for a in strangers for b in strangers if a is not b]
    expected = [r2(fit_edge(a, b, 50, 0)(heldout_pairs(a, b)[0]), heldout_pairs(a, b)[1]) for a, b in pairs]
    assert each == pytest.approx(np.array(expected))
    assert mean.score == pytest.approx(np.mean(expected))


def test_measures_of_other_kinds_have_no_common_mean():
    with pytest.raises(ValueError, match="one kind"):
        Score.average([Score.mean([1.0, 0.0]), Score.mean([1.0])])
    with pytest.raises(ValueError, match="one kind"):
        Score.average([])

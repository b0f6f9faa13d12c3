"""Agents that experiments train, and maps between them."""

from dataclasses import replace
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
    fit_shifted,
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
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.common.training_loop import count_flops
from social_jepa.experiments.framework.score import Score


def ignore(text):
    del text


@pytest.fixture(scope="module")
def setup():
    return build_config(AgentSetup, QUICK_SETUP, ["training.steps=60", "training.replay_ticks=1024"])


@pytest.fixture(scope="module")
def agents(setup):
    return train_agents(setup, 0, ring_poses(setup, 2), ignore)


def planted(name, seed, noise=0.0, dim=3, rows=200):
    """An agent whose core is a rotation of common coordinates."""
    generator = torch.Generator().manual_seed(7)
    sets = [torch.randn(rows, dim, generator=generator, dtype=torch.float64) for _ in range(2)]
    private = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=private, dtype=torch.float64))[0]
    latents = [
        z @ rotation + noise * torch.randn(rows, dim, generator=private, dtype=torch.float64) for z in sets
    ]
    basis = CoreBasis(torch.zeros(dim), torch.eye(dim), torch.full((dim,), 0.7), dim, torch.zeros(dim), 0.1)
    anchors, heldout = (AnchorSet(tuple(range(rows)), latent, dim) for latent in latents)
    return TrainedAgent(name, torch.nn.Identity(), basis, anchors, heldout, None, 0, 0.0)


def test_agents_share_no_weights_and_training_them_again_gives_equal_embeddings(setup, agents):
    again = train_agents(setup, 0, ring_poses(setup, 2), ignore)

    for one, two in zip(agents, again, strict=True):
        assert torch.equal(one.heldout.vectors, two.heldout.vectors)
    first, second = (dict(agent.model.named_parameters()) for agent in agents)
    assert not any(torch.equal(first[name], second[name]) for name in first if name.endswith("weight"))


def test_heldout_anchor_and_training_ticks_are_separate_ranges(setup, agents):
    memory = agents[0].scene.config.decorrelation_ticks
    held, fit, first = tick_ranges(setup.negotiation, max(GAP, memory), memory)

    assert agents[0].heldout.ids == tuple(held)
    assert agents[0].anchors.ids == tuple(fit)
    assert max(held) < min(fit) <= max(fit) < first


def test_frames_and_flops_are_those_of_the_training_run(setup, agents):
    training = setup.training
    one_encoder = replace(setup, model=replace(setup.model, stages=1))
    alone = train_agents(one_encoder, 0, ring_poses(setup, 2), ignore)

    assert alone[0].frames == training.steps * training.segments * training.segment_ticks
    assert alone[0].flops == alone[1].flops > alone[0].frames * 1e3
    per_step = alone[0].flops / training.steps
    for agent in agents:  # each adds the steps of further encoders, if it trained any
        steps = agent.flops / per_step
        assert steps == pytest.approx(round(steps))
        assert steps >= training.steps


def test_flops_count_steps_and_not_the_calibration_before_the_first():
    small = build_config(
        AgentSetup,
        QUICK_SETUP,
        ["training.steps=3", "training.replay_ticks=256", "model.p_jepa.controlled_objects=1"],
    )
    with untrained_agent(
        small, 0, 0, ring_poses(small, 1), "p_jepa"
    ) as agent:  # it encodes frames to calibrate
        flops = train_agent(agent, ignore)
        assert flops == 3 * count_flops(lambda: agent.train(until=4))[1]


def test_true_states_are_those_of_the_ticks_of_an_anchor_set(setup, agents):
    states = agents[0].states(agents[0].heldout)

    scene = Scene(setup.scene, 0)
    assert np.array_equal(states[3].numpy(), scene.state(agents[0].heldout.ids[3]).factors)


def test_training_in_parts_equals_training_at_once_and_leaves_no_files(setup):
    poses = ring_poses(setup, 2)
    kept = []
    for until in ([None], [20, None]):
        with untrained_agent(setup, 0, 1, poses) as agent:
            folder = Path(agent.spec.folder)
            for step in until:
                train_agent(agent, ignore, step)
            kept.append(trained_agent(agent).heldout.vectors)
        assert not folder.exists()
    assert torch.equal(*kept)


def test_an_untrained_agent_keeps_its_initial_weights_and_has_no_flops(setup):
    with untrained_agent(setup, 0, 0, ring_poses(setup, 1)) as agent:
        with pytest.raises(ValueError, match="call train_agent first"):
            trained_agent(agent)
        before = {name: value.clone() for name, value in agent.model.named_parameters()}
        flops = train_agent(agent, ignore, until=0)
        untrained = trained_agent(agent)

    assert flops == 0
    assert untrained.frames == 0
    assert all(torch.equal(value, before[name]) for name, value in untrained.model.named_parameters())


def test_a_planted_rotation_is_recovered_but_not_from_shuffled_or_shifted_pairs():
    one, two = planted("one", 1), planted("two", 2)

    assert edge_r2(fit_edge(one, two, 20, 0), one, two).score == pytest.approx(1.0)
    assert edge_r2(fit_shuffled(one, two, 200, 0), one, two).score < 0
    assert edge_r2(fit_shifted(one, two, 200, 0), one, two).score < 0


def test_more_anchors_of_one_seed_include_fewer():
    one, two = planted("one", 1), planted("two", 2)

    few, many = (anchor_pairs(one, two, count, 3)[0] for count in (10, 50))
    rows = {tuple(row) for row in many.tolist()}
    assert all(tuple(row) in rows for row in few.tolist())


def test_the_average_over_edges_is_the_mean_of_alignment_r2():
    three = [planted(name, seed, noise=0.3 * seed) for seed, name in enumerate("abc")]

    def score(source, target):
        return edge_r2(fit_edge(source, target, 50, 0), source, target)

    mean, each = average_over_edges(three, score)

    pairs = [(a, b) for a in three for b in three if a is not b]
    expected = [r2(fit_edge(a, b, 50, 0)(heldout_pairs(a, b)[0]), heldout_pairs(a, b)[1]) for a, b in pairs]
    assert each == pytest.approx(np.array(expected))
    assert mean.score == pytest.approx(np.mean(expected))


def test_scores_of_different_kinds_have_no_average():
    with pytest.raises(ValueError, match="one kind"):
        Score.average([Score.mean([1.0, 0.0]), Score.mean([1.0])])
    with pytest.raises(ValueError, match="one kind"):
        Score.average([])

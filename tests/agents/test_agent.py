import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.learner import GAP
from agents.protocol.settings import NegotiationConfig, tick_ranges
from alignment.core import autocorrelations
from alignment.status import Status
from tests.support.swarm import figures, negotiate, tiny_spec


def lived(folder, count=2, **training):
    """Agents that trained and found their cores, and what they told."""
    agents = [Agent(tiny_spec(index, folder, **training)) for index in range(count)]
    assert all(agent.train() for agent in agents)
    return agents, [agent.publish() for agent in agents]


def talked(agents):
    negotiate({agent.spec.name: agent.negotiation for agent in agents})
    return [agent.negotiation.edges for agent in agents]


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    agents, memories = lived(tmp_path_factory.mktemp("life"))
    return agents, memories, talked(agents)


def test_two_agents_that_never_met_come_to_understand_each_other(life):
    _, memories, edges = life
    for index, peer in ((0, "agent-1"), (1, "agent-0")):
        edge = edges[index][peer]
        assert edge.status is Status.ACCEPTED
        assert edge.core_dims == (2, 2)  # one object has two coordinates, and each agent found that alone
        assert edge.score.r2_core > 0.8 > 0.1 > edge.score.null_r2
        assert min(edge.score.spectrum) > 0.8
        assert edge.target_checkpoint == memories[index].peer_info.checkpoint
        assert memories[index].losses[-1] < memories[index].losses[0] - 0.5


def test_equal_specs_give_equal_edges_bit_for_bit(life, tmp_path):
    agents, _ = lived(tmp_path)
    for edges, again in zip(life[2], talked(agents), strict=True):
        assert {peer: figures(edge) for peer, edge in edges.items()} == {
            peer: figures(edge) for peer, edge in again.items()
        }


def test_a_life_resumed_after_training_says_the_same(life, tmp_path):
    agents, memories, _ = life
    late = Agent(replace(agents[0].spec, folder=str(tmp_path)))
    late.path.write_bytes(agents[0].path.read_bytes())
    late.load()
    assert late.train()
    memory = late.publish()

    assert memory.peer_info == memories[0].peer_info
    assert torch.equal(memory.pools.anchors.vectors, memories[0].pools.anchors.vectors)
    assert torch.equal(late.basis.transform, agents[0].basis.transform)


def test_a_checkpoint_holds_the_basis_that_the_core_was_found_with(life):
    (agent, _), _, _ = life
    late = Agent(agent.spec)
    late.load()

    assert late.basis.core_dim == agent.basis.core_dim == 2
    for name in ("mean", "transform", "spectrum"):
        assert torch.equal(getattr(late.basis, name), getattr(agent.basis, name))


def test_what_is_shown_is_the_basis_applied_to_what_the_camera_saw(life):
    (agent, _), (memory, _), _ = life
    ticks = memory.pools.heldout.ids[:5]
    raw = agent.model.encode(torch.from_numpy(agent.recorder.record(ticks).frames)).detach()

    assert torch.allclose(agent.basis(raw).float(), memory.pools.heldout.vectors[:5], atol=1e-5)


def test_the_spectrum_is_that_of_ticks_nobody_trained_on(life):
    (agent, _), (memory, _), _ = life
    after = agent.trainer.replay_buffer.ticks.stop + GAP
    latent = agent.encode_ticks(range(after, after + 512))

    assert torch.equal(memory.spectrum, autocorrelations(latent, agent.basis))
    assert memory.spectrum[:2].min() > 0.5 > memory.spectrum[2:].max()


@pytest.mark.parametrize(
    "config", [NegotiationConfig(), NegotiationConfig(anchors=4, heldout=4, pool_ticks=4, pool_stride=1)]
)
def test_ticks_to_score_to_fit_and_to_train_on_lie_apart(config):
    held, fit, first = tick_ranges(config, GAP)
    assert len(held) == len(fit) == config.pool_ticks
    assert held[0] == 0
    assert fit[0] - held[-1] > GAP
    assert first - fit[-1] > GAP


def test_agents_that_train_on_other_settings_still_mean_the_same_ticks(tmp_path):
    """Peers compare by tick: how long one trained may not move what it is asked about."""
    first, second = (
        Agent(tiny_spec(index, tmp_path, replay_ticks=64 + index, steps=1 + index)) for index in (0, 1)
    )
    assert (first.fit_ticks, first.held_ticks) == (second.fit_ticks, second.held_ticks)


def test_embedding_does_not_depend_on_how_ticks_are_split_or_ordered(life):
    (agent, _), _, _ = life
    together = agent.encode_ticks(range(100, 700))  # more than one chunk
    parted = torch.cat([agent.encode_ticks(range(100, 350)), agent.encode_ticks(iter(range(350, 700)))])

    torch.testing.assert_close(together, parted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(agent.encode_ticks([300, 101]), together[[200, 1]], atol=1e-5, rtol=1e-5)
    assert not together.requires_grad


def test_a_constant_encoder_finds_itself_collapsed_and_is_refused_by_both(life, tmp_path):
    (_, peer), _, _ = life
    spec = replace(tiny_spec(0, tmp_path, steps=1), name="constant")
    agent = Agent(spec)
    agent.train()
    with torch.no_grad():
        agent.model.encoder[-1].weight.zero_()
    memory = agent.publish()
    assert memory.peer_info.collapsed
    assert memory.peer_info.core_dim == 0
    assert memory.effective_rank == 0

    both = [agent, Agent(peer.spec)]
    both[1].load()
    both[1].publish()
    for edges in talked(both):
        (edge,) = edges.values()
        assert edge.status is Status.REFUSED
        assert "constant collapsed" in edge.reason
        assert edge.score is None


def test_an_encoder_of_one_direction_finds_itself_collapsed(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, steps=1))
    agent.train()
    with torch.no_grad():
        last = agent.model.encoder[-1].weight
        last.copy_(last[:1].clone().expand_as(last))
    memory = agent.publish()

    assert memory.effective_rank == pytest.approx(1, abs=0.01)
    assert memory.peer_info.collapsed


def test_an_encoder_that_learnt_nothing_has_not_collapsed(tmp_path):
    _, (memory,) = lived(tmp_path, count=1, steps=2, learning_rate=1e-12)

    assert not memory.peer_info.collapsed
    assert memory.effective_rank > 1.5


def test_progress_tells_how_it_is_doing(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, steps=4))
    fresh = agent.progress()
    assert (fresh.phase, fresh.step, fresh.steps, fresh.recorded, fresh.frames) == ("waiting", 0, 4, 0, 0)
    assert math.isnan(fresh.loss)
    assert math.isnan(fresh.seconds_left)
    agent.train()
    done = agent.progress()

    assert (done.phase, done.step, done.recorded, done.frames) == ("trained", 4, 1024, 4 * 24 * 4)
    assert done.loss == agent.trainer.losses[-1]
    assert done.seconds_left == 0
    assert done.frames_per_s > 0
    assert agent.publish().progress.phase in ("embedding", "ready")
    assert agent.progress().phase == "ready"


def test_a_memory_holds_the_space_and_no_weights(life):
    (agent, _), (memory, _), _ = life
    sizes = [
        memory.pools.anchors.vectors.numel(),
        memory.pools.heldout.vectors.numel(),
        memory.spectrum.numel(),
    ]
    assert sizes == [96 * 6, 96 * 6, 6]
    weights = sum(weight.numel() for weight in agent.model.parameters())
    assert weights > 2 * sum(sizes)


def test_anchor_columns_are_sorted_white_and_those_of_the_core_come_first(life):
    _, memories, _ = life
    for memory in memories:
        rows = memory.pools.anchors.vectors.double().numpy()
        np.testing.assert_allclose(np.cov(rows.T), np.eye(6), atol=0.8)
        assert (memory.spectrum[:2, None] > memory.spectrum[None, 2:]).all()
        assert memory.pools.anchors.core_dim == memory.peer_info.core_dim == 2


def test_a_camera_that_stands_wrong_is_refused_when_the_agent_is_built(tmp_path):
    spec = tiny_spec(0, tmp_path)
    with pytest.raises(ValueError, match="sees nothing"):
        Agent(replace(spec, pose=replace(spec.pose, yaw=spec.pose.yaw + 180)))

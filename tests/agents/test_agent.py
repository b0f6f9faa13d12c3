import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.drift import measure_drift
from agents.protocol.settings import NegotiationConfig, tick_ranges
from agents.restoring import restore_agent
from agents.training.settings import GAP
from agents.training.staged_core import StagedCore
from alignment.core import autocorrelations
from alignment.status import Status
from env.renderer import Renderer
from tests.support.swarm import comparable, negotiate_all, tiny_spec


def train_and_publish(folder, count=2, **training):
    """Trained agents and the snapshots that they published."""
    agents = [Agent(tiny_spec(index, folder, **training)) for index in range(count)]
    assert all(agent.train() for agent in agents)
    return agents, [agent.publish() for agent in agents]


def negotiated_edges(agents):
    negotiate_all({agent.spec.name: agent.negotiation for agent in agents})
    return [agent.negotiation.edges for agent in agents]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    agents, snapshots = train_and_publish(tmp_path_factory.mktemp("pair"))
    return agents, snapshots, negotiated_edges(agents)


def test_two_independently_trained_agents_accept_maps_between_their_cores(pair):
    _, snapshots, edges = pair
    for index, peer in ((0, "agent-1"), (1, "agent-0")):
        edge = edges[index][peer]
        assert edge.status is Status.ACCEPTED
        assert edge.core_dims == (2, 2)  # one object has two coordinates, and each agent found that alone
        assert edge.score.r2_shared > 0.8 > 0.5 > edge.score.null_correlation
        assert min(edge.score.correlations) > 0.8
        assert edge.target_checkpoint == snapshots[index].peer_info.checkpoint
        assert snapshots[index].losses[-1] < snapshots[index].losses[0] - 0.5


def test_equal_specs_give_equal_edges_bit_for_bit(pair, tmp_path):
    agents, _ = train_and_publish(tmp_path)
    for edges, repeated in zip(pair[2], negotiated_edges(agents), strict=True):
        assert {peer: comparable(edge) for peer, edge in edges.items()} == {
            peer: comparable(edge) for peer, edge in repeated.items()
        }


def test_an_agent_resumed_after_training_publishes_the_same_snapshot(pair, tmp_path):
    agents, snapshots, _ = pair
    resumed = Agent(replace(agents[0].spec, folder=str(tmp_path)))
    resumed.files.checkpoint_path.write_bytes(agents[0].files.checkpoint_path.read_bytes())
    restore_agent(resumed)
    assert resumed.train()
    snapshot = resumed.publish()

    assert snapshot.peer_info == snapshots[0].peer_info
    assert torch.equal(snapshot.pools.anchors.vectors, snapshots[0].pools.anchors.vectors)
    assert torch.equal(resumed.basis.transform, agents[0].basis.transform)


def test_the_core_is_never_chosen_on_ticks_of_a_longer_training_before_a_resume(pair, tmp_path):
    agents, _, _ = pair
    spec = agents[0].spec
    fewer = replace(spec.training, replay_ticks=spec.training.replay_ticks // 2)
    shorter = Agent(replace(spec, folder=str(tmp_path), training=fewer))
    shorter.files.checkpoint_path.write_bytes(agents[0].files.checkpoint_path.read_bytes())
    restore_agent(shorter)
    assert shorter.train()
    encoded, encode = [], shorter.encode_ticks
    shorter.encode_ticks = lambda ticks, *rest: encoded.append(list(ticks)) or encode(ticks, *rest)
    snapshot = shorter.publish()
    measure_drift(shorter)

    seen = agents[0].trainer.seen_stop
    assert shorter.trainer.replay_buffer.ticks.stop < seen == snapshot.trained_ticks.stop
    assert any(min(ticks) == seen + shorter.ticks.gap for ticks in encoded[:3])  # pairs of the core
    assert min(encoded[-1]) == seen + shorter.ticks.gap  # of the drift
    again = Agent(replace(spec, folder=str(tmp_path), training=fewer))
    restore_agent(again)
    assert again.trainer.seen_stop == seen  # also after the next resume


def test_a_checkpoint_holds_the_basis_of_the_core(pair):
    (agent, _), _, _ = pair
    resumed = Agent(agent.spec)
    restore_agent(resumed)

    assert resumed.basis.core_dim == agent.basis.core_dim == 2
    for name in ("mean", "transform", "spectrum"):
        assert torch.equal(getattr(resumed.basis, name), getattr(agent.basis, name))


def test_anchors_are_the_basis_applied_to_latents_of_recorded_frames(pair):
    (agent, _), (snapshot, _), _ = pair
    ticks = snapshot.pools.heldout.ids[:5]
    raw = agent.model.encode(torch.from_numpy(agent.recorder.record(ticks).frames)).detach()

    assert torch.allclose(agent.basis(raw).float(), snapshot.pools.heldout.vectors[:5], atol=1e-5)


def test_the_spectrum_is_measured_on_ticks_after_those_of_training(pair):
    (agent, _), (snapshot, _), _ = pair
    starts = agent.trainer.replay_buffer.ticks.stop + GAP + agent.ticks.stride * np.arange(256)
    latent = torch.stack([agent.encode_ticks(starts), agent.encode_ticks(starts + 1)], dim=1)

    assert torch.equal(snapshot.spectrum, autocorrelations(latent, agent.basis))
    assert snapshot.spectrum[:2].min() > 0.5 > snapshot.spectrum[2:].max()


class CountingRenderer(Renderer):
    """Counts how often each tick is rendered."""

    def __init__(self, renderer):
        self.renderer, self.rendered = renderer, Counter()

    def render(self, state, pose, viewer=None):
        self.rendered[state.tick] += 1
        return self.renderer.render(state, pose, viewer)

    def close(self):
        self.renderer.close()


@pytest.mark.parametrize("left", [True, False])
def test_no_tick_is_rendered_twice_until_the_model_is_published(left, tmp_path, monkeypatch):
    monkeypatch.setattr(StagedCore, "exhausts", lambda *_: not left)
    agent = Agent(tiny_spec(0, tmp_path, steps=3))
    agent.recorder.renderer = counting = CountingRenderer(agent.renderer)

    assert agent.train()
    agent.publish()

    assert bool(agent.stage_steps) == left  # whether a further encoder was tried
    assert set(counting.rendered.values()) == {1}  # also of the ticks that the core is then chosen on
    assert agent.further_encoders.take_frames(agent.ticks.core_eval(agent.trainer.seen_stop).ravel()) is None


def test_a_model_that_has_changed_since_the_search_is_published_with_its_own_core(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, steps=3))
    assert agent.train()
    with torch.no_grad():
        agent.model.encoder[-1].weight.mul_(-2)
    agent.publish()

    expected, _ = agent.find_axes()
    torch.testing.assert_close(agent.basis.transform, expected.transform, rtol=0, atol=0)


@pytest.mark.parametrize(
    "config", [NegotiationConfig(), NegotiationConfig(anchors=4, heldout=4, pool_ticks=4, pool_stride=1)]
)
def test_ticks_to_score_to_fit_and_to_train_on_lie_apart(config):
    heldout, fit, train_start = tick_ranges(config, GAP, memory=20)
    assert len(heldout) == len(fit) == config.pool_ticks
    assert heldout[0] == 0
    assert fit[0] - heldout[-1] > GAP
    assert train_start - fit[-1] > GAP


def test_anchor_ticks_do_not_depend_on_training_settings(tmp_path):
    """Peers compare by tick: the length of one's training may not move the ticks that it is asked for."""
    first, second = (
        Agent(tiny_spec(index, tmp_path, replay_ticks=64 + index, steps=1 + index)) for index in (0, 1)
    )
    assert (first.ticks.fit, first.ticks.heldout) == (second.ticks.fit, second.ticks.heldout)


def test_latents_do_not_depend_on_the_batching_or_order_of_ticks(pair):
    (agent, _), _, _ = pair
    together = agent.encode_ticks(range(100, 700))  # more than one chunk
    split = torch.cat([agent.encode_ticks(range(100, 350)), agent.encode_ticks(iter(range(350, 700)))])

    torch.testing.assert_close(together, split, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(agent.encode_ticks([300, 101]), together[[200, 1]], atol=1e-5, rtol=1e-5)
    assert not together.requires_grad


def test_a_constant_encoder_reports_collapse_and_both_agents_refuse_the_edge(pair, tmp_path):
    (_, peer), _, _ = pair
    spec = replace(tiny_spec(0, tmp_path, steps=1), name="constant")
    agent = Agent(spec)
    agent.train()
    with torch.no_grad():
        agent.model.encoder[-1].weight.zero_()
    snapshot = agent.publish()
    assert snapshot.peer_info.collapsed
    assert snapshot.peer_info.core_dim == 0
    assert snapshot.effective_rank == 0

    both = [agent, Agent(peer.spec)]
    restore_agent(both[1])
    both[1].publish()
    for edges in negotiated_edges(both):
        (edge,) = edges.values()
        assert edge.status is Status.REFUSED
        assert "constant collapsed" in edge.reason
        assert edge.score is None


def test_an_encoder_of_one_direction_reports_collapse(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, steps=1))
    agent.train()
    with torch.no_grad():
        last = agent.model.encoder[-1].weight
        last.copy_(last[:1].clone().expand_as(last))
    snapshot = agent.publish()

    assert snapshot.effective_rank == pytest.approx(1, abs=0.01)
    assert snapshot.peer_info.collapsed


def test_an_untrained_encoder_does_not_report_collapse(tmp_path):
    _, (snapshot,) = train_and_publish(tmp_path, count=1, steps=2, learning_rate=1e-12)

    assert not snapshot.peer_info.collapsed
    assert snapshot.effective_rank > 1.5


def test_progress_reports_phase_step_frames_loss_and_speed(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, steps=4))
    start = agent.progress()
    assert (start.phase, start.step, start.steps, start.recorded, start.frames) == ("waiting", 0, 4, 0, 0)
    assert math.isnan(start.loss)
    assert math.isnan(start.seconds_left)
    agent.train()
    done = agent.progress()

    steps = 4 + agent.stage_steps
    assert (done.phase, done.step, done.recorded, done.frames) == ("trained", 4, 1024, steps * 24 * 4)
    assert done.loss == agent.trainer.losses[-1]
    assert done.seconds_left == 0
    assert done.frames_per_s > 0
    assert agent.publish().progress.phase in ("embedding", "ready")
    assert agent.progress().phase == "ready"


def test_a_snapshot_holds_the_latent_space_and_no_weights(pair):
    (agent, _), (snapshot, _), _ = pair
    sizes = [
        snapshot.pools.anchors.vectors.numel(),
        snapshot.pools.heldout.vectors.numel(),
        snapshot.spectrum.numel(),
    ]
    assert sizes == [96 * 6, 96 * 6, 6]
    weights = sum(weight.numel() for weight in agent.model.parameters())
    assert weights > 2 * sum(sizes)


def test_anchor_columns_are_white_and_sorted_with_those_of_the_core_first(pair):
    _, snapshots, _ = pair
    for snapshot in snapshots:
        rows = snapshot.pools.anchors.vectors.double().numpy()
        np.testing.assert_allclose(np.cov(rows.T), np.eye(6), atol=0.8)
        assert (snapshot.spectrum[:2, None] > snapshot.spectrum[None, 2:]).all()
        assert snapshot.pools.anchors.core_dim == snapshot.peer_info.core_dim == 2


def test_building_an_agent_refuses_a_pose_that_sees_nothing(tmp_path):
    spec = tiny_spec(0, tmp_path)
    with pytest.raises(ValueError, match="sees nothing"):
        Agent(replace(spec, pose=replace(spec.pose, yaw=spec.pose.yaw + 180)))


@pytest.mark.parametrize(
    "settings",
    [
        {"autocorrelation": (0.99,)},
        {"dynamics": "coupled", "autocorrelation": (0.99,)},
        {"dynamics": "collide", "objects": 12},
    ],
)
def test_ranges_of_ticks_are_farther_apart_than_the_memory_of_a_slow_scene(tmp_path, settings):
    spec = tiny_spec(0, tmp_path)
    scene = replace(spec.scene, **{"objects": 2, **settings})
    agent, memory = Agent(replace(spec, scene=scene)), scene.decorrelation_ticks

    assert memory > GAP
    assert agent.ticks.fit[0] - agent.ticks.heldout[-1] > memory
    assert agent.ticks.train_start - agent.ticks.fit[-1] > memory

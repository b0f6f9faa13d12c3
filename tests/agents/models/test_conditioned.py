"""seq-JEPA and P-JEPA as agents that train on sensor data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.models.registry import build_world_model
from agents.models.settings import EncoderConfig, ModelConfig, PJepaConfig, SeqJepaConfig
from agents.models.world_model import loss_with
from agents.restoring import restore_agent
from agents.training.trainer import parameter_groups
from env.recording import SensorData
from tests.support.swarm import tiny_spec

SMALL = EncoderConfig(dim=8, width=4, hidden=16, precision="fp32")
SEQ = SeqJepaConfig(
    encoder=replace(SMALL, batch_norm=True), action_dim=4, layers=1, heads=2, predictor_hidden=16,
    readout_dim=4, views=3,
)  # fmt: skip
AUXILIARY = PJepaConfig(
    encoder=SMALL, transition_hidden=16, head_hidden=16, controlled_objects=1, random_target_dim=8
)
SHORT = {"steps": 6, "segments": 8, "replay_ticks": 384, "core_eval_ticks": 64}
KINDS = ("seq_jepa", "p_jepa")


def spec(folder, kind, index=0, **changes):
    model = ModelConfig(seq_jepa=replace(SEQ, **changes.pop("seq", {})), p_jepa=replace(AUXILIARY, **changes))
    return replace(tiny_spec(index, folder, **SHORT), kind=kind, model=model)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def agent_of(tmp_path, kind, **changes):
    agent = Agent(spec(tmp_path, kind, **changes))
    assert agent.train()
    return agent


def test_an_agent_publishes_anchors_of_its_configured_dimension(tmp_path, kind):
    agent = agent_of(tmp_path, kind)
    snapshot = agent.publish()
    agent.close()

    dim = agent.spec.model.dim_of(kind)
    assert agent.model.dim == snapshot.peer_info.dim == snapshot.pools.anchors.vectors.shape[1] == dim
    assert torch.isfinite(snapshot.pools.heldout.vectors).all()
    assert snapshot.peer_info.kind == kind


def test_a_resumed_agent_takes_the_same_steps_as_an_uninterrupted_one(tmp_path, kind):
    whole = agent_of(tmp_path / "whole", kind)
    stopped = Agent(spec(tmp_path / "halves", kind))
    stopped.train(until=3)
    resumed = Agent(spec(tmp_path / "halves", kind))
    restore_agent(resumed)
    resumed.train()

    assert whole.trainer.losses == resumed.trainer.losses
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    for agent in (whole, stopped, resumed):
        agent.close()


def test_a_replay_buffer_with_several_views_a_tick_holds_as_many_frames(tmp_path):
    multi_view, single_view = agent_of(tmp_path / "a", "seq_jepa"), agent_of(tmp_path / "b", "p_jepa")

    assert (
        len(multi_view.trainer.replay_buffer) * SEQ.views
        == len(single_view.trainer.replay_buffer)
        == SHORT["replay_ticks"]
    )
    assert multi_view.trainer.frames == SEQ.views * single_view.trainer.frames
    multi_view.close(), single_view.close()


def test_the_target_network_moves_slowly_after_each_step(tmp_path):
    agent = agent_of(tmp_path, "seq_jepa")
    untrained = agent.build_model()
    moved = [
        (before - after).abs().max()
        for before, after in zip(
            untrained.seq.target.parameters(), agent.model.seq.target.parameters(), strict=True
        )
    ]
    agent.close()

    assert all(0 < distance < 0.1 for distance in moved)


def test_the_encoder_has_its_own_learning_rate_multiplier(tmp_path):
    model = build_world_model("p_jepa", spec(tmp_path, "p_jepa").model, 16, (0,))
    groups = {
        group["lr_multiplier"]: group["params"] for group in parameter_groups(model, model.lr_multipliers())
    }

    assert set(groups) == {0.3, 1.0}
    assert {id(part) for part in groups[0.3]} == {id(part) for part in model.model.encoder.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(map(len, groups.values())) == len(trained) < len(list(model.parameters()))


def test_the_latent_is_the_readout_of_all_views_and_depends_on_view_actions(tmp_path):
    agent = agent_of(tmp_path, "seq_jepa", seq={"temporal_weight": 1.0})
    ticks = np.arange(20)
    frames, sensor_data = agent.recorder.record(ticks).frames, agent.recorder.sensor_data(ticks)
    agent.model.eval()
    with torch.no_grad():
        latents = agent.model.encode(torch.from_numpy(frames), sensor_data)
        reversed_latents = agent.model.encode(
            torch.from_numpy(frames), SensorData(view_actions=sensor_data.view_actions[::-1].copy())
        )
    expected = agent.encode_ticks(range(20))
    agent.close()

    assert latents.shape == (20, SEQ.readout_dim)
    assert torch.allclose(latents, expected, atol=1e-5)
    assert not torch.allclose(latents, reversed_latents, atol=1e-3)


@pytest.mark.parametrize("task", ["random", "reward", "positions"])
def test_an_agent_trains_on_every_task(tmp_path, task):
    agent = agent_of(tmp_path, "p_jepa", task=task)
    agent.close()

    assert len(agent.trainer.losses) == SHORT["steps"]
    assert (agent.model.target is None) == (task != "random")


def test_agents_have_different_random_target_networks(tmp_path):
    one, other = (
        build_world_model("p_jepa", spec(tmp_path, "p_jepa").model, 16, (0, index, 0)) for index in (0, 1)
    )
    weights = [next(model.target.net.parameters()) for model in (one, other)]

    assert not torch.equal(*weights)
    assert not any(weight.requires_grad for weight in weights)


def test_missing_sensor_data_is_refused_with_its_source(tmp_path, kind):
    model = build_world_model(kind, spec(tmp_path, kind).model, 16, (0,))
    views = (SEQ.views,) if kind == "seq_jepa" else ()
    frames = torch.zeros(2, 2, *views, 16, 16, 3, dtype=torch.uint8)

    with pytest.raises(ValueError, match=rf"a {kind} model needs .*SensorRecorder"):
        loss_with(model, frames, torch.Generator(), SensorData())


@pytest.mark.parametrize(
    ("group", "changes", "message"),
    [
        (SEQ, {"views": 1}, "^views=1: at least 2"),
        (SEQ, {"max_view_angle": 100.0}, "^max_view_angle"),
        (AUXILIARY, {"task": "fame"}, "^task='fame': choose one of random"),
        (AUXILIARY, {"controlled_objects": 0}, "^controlled_objects=0: at least 1"),
        (AUXILIARY, {"encoder_lr_multiplier": 1.5}, "^encoder_lr_multiplier=1.5"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(group, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(group, **changes)

"""What an agent does on a device; on a GPU where there is one."""

from dataclasses import replace

import pytest

from agents.agent import Agent
from agents.restoring import restore_agent
from tests.support.swarm import tiny_spec

SHORT = {"steps": 6, "segments": 8, "replay_ticks": 64, "core_eval_ticks": 64}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def trained(folder, device):
    """Return an agent that has trained and published on a device."""
    agent = Agent(replace(tiny_spec(0, folder, **SHORT), device=device))
    agent.train()
    agent.publish()
    return agent


@pytest.mark.parametrize("device", DEVICES)
def test_an_agent_trains_on_its_device_and_publishes_latents_of_the_host(tmp_path, device):
    agent = trained(tmp_path, device)

    assert {parameter.device.type for parameter in agent.model.parameters()} == {device}
    assert agent.encode_ticks(range(8)).device.type == "cpu"
    assert agent.published.snapshot.pools.anchors.vectors.device.type == "cpu"


@pytest.mark.parametrize("device", DEVICES)
def test_training_on_a_device_follows_that_on_the_cpu(tmp_path, device):
    """The data and the initial weights are the same; sums are taken in another order."""
    expected, found = trained(tmp_path / "cpu", "cpu"), trained(tmp_path / device, device)

    assert found.trainer.losses == pytest.approx(expected.trainer.losses, rel=1e-2)


@pytest.mark.parametrize("device", DEVICES)
def test_a_model_encodes_on_the_cpu_as_on_the_device_that_it_was_trained_on(tmp_path, device):
    agent = trained(tmp_path, device)
    latents = agent.encode_ticks(range(200))
    moved = Agent(replace(agent.spec, device="cpu"))
    assert restore_agent(moved) == ""

    again = moved.encode_ticks(range(200))
    assert (again - latents).square().mean() < 1e-4 * latents.var(0).mean()
    assert moved.trainer.step == agent.trainer.step


@pytest.mark.parametrize("device", DEVICES)
def test_training_goes_on_from_a_checkpoint_on_a_device(tmp_path, device):
    agent = trained(tmp_path, device)
    resumed = Agent(replace(agent.spec, device=device))
    restore_agent(resumed)
    for each in (agent, resumed):
        each.train(until=9)

    assert resumed.trainer.losses[:6] == agent.trainer.losses[:6]
    assert resumed.trainer.losses == pytest.approx(agent.trainer.losses, rel=1e-2)

"""Collapse of every kind of agent: latents that shrink are reported, small and healthy ones are not."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from agents.agent import Agent
from agents.restoring import restore_agent
from alignment.status import Status
from tests.support.golden_figures import KINDS, MODEL
from tests.support.swarm import negotiate_all, tiny_spec

UNGUARDED = {
    "vicreg": ("jepa", replace(MODEL, objective="vicreg", variance=0, covariance=0)),
    "covariance alone": ("jepa", replace(MODEL, objective="vicreg", variance=0)),
    "sigreg": ("jepa", replace(MODEL, objective="sigreg", sigreg=0)),
    "log_det": ("jepa", replace(MODEL, objective="log_det", log_det=0)),
    "bf16": ("jepa", replace(MODEL, objective="log_det", log_det=0, precision="bf16")),
    "p_jepa": (
        "p_jepa",
        replace(MODEL, p_jepa=replace(MODEL.p_jepa, auxiliary=False, encoder_lr_multiplier=1.0)),
    ),
}


def agent_of(kind, model, folder, index=0, **training):
    return Agent(replace(tiny_spec(index, folder, **training), kind=kind, model=model))


def last_layers(agent):
    """The layer that sets the spread of this agent's latents, and the layer that sets their scale."""
    model = agent.model
    if agent.spec.kind == "seq_jepa":
        norm, readout = model.seq.aggregator[-1].norm2, model.seq.readout
        return norm, readout if isinstance(readout, nn.Linear) else norm
    layers = {"jepa": lambda: model.encoder, "p_jepa": lambda: model.model.encoder.net}
    found = layers.get(agent.spec.kind, lambda: model.net)()
    return next(layer for layer in reversed(found) if isinstance(layer, nn.Linear)), found[-1]


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    """An agent of each kind after one step, with its weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend("examples")
        kind, model = KINDS[request.param]
        agent = agent_of(kind, model, tmp_path_factory.mktemp("agent"), steps=1)
        assert agent.train()
        yield agent, copy.deepcopy(agent.model.state_dict())
        agent.close()


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_latents_of_any_scale_are_not_called_collapsed(trained, scale):
    agent, weights = trained
    agent.model.load_state_dict(weights)
    layer = last_layers(agent)[1]
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(scale)
        if isinstance(layer, nn.BatchNorm1d):
            layer.running_var.div_(scale**2)

    assert agent.explain_collapse(core_dim=1) == ""


def test_latents_that_shrink_to_a_point_are_called_collapsed(trained):
    agent, weights = trained
    agent.model.load_state_dict(weights)
    layer = last_layers(agent)[0]
    with torch.no_grad():
        layer.weight.mul_(1e-3)
        layer.bias.fill_(1.0)  # the point that latents gather around

    assert "contracted them to" in agent.explain_collapse(core_dim=1)


@pytest.mark.parametrize("name", UNGUARDED)
def test_an_agent_without_a_term_against_collapse_reports_it(name, tmp_path):
    kind, model = UNGUARDED[name]
    agent = agent_of(kind, model, tmp_path, steps=80)
    agent.train()
    snapshot = agent.publish()

    assert snapshot.peer_info.collapsed
    assert "contracted them to" in agent.collapse
    assert snapshot.effective_rank > 1.5  # rank alone does not show it
    resumed = agent_of(kind, model, tmp_path, steps=80)
    restore_agent(resumed)
    resumed.trainer.record(lambda: False)
    assert resumed.explain_collapse(snapshot.peer_info.core_dim) == agent.collapse


def test_no_edge_of_a_collapsed_agent_is_accepted(tmp_path):
    agents = [
        agent_of(*UNGUARDED["vicreg"], tmp_path, steps=60),
        agent_of("jepa", MODEL, tmp_path, index=1, steps=6),
    ]
    for agent in agents:
        agent.train()
        agent.publish()
    negotiate_all({agent.spec.name: agent.negotiation for agent in agents})

    assert not agents[1].collapse
    for agent in agents:
        (edge,) = agent.negotiation.edges.values()
        assert edge.status is Status.REFUSED
        assert "agent-0 collapsed" in edge.reason

"""A checkpoint holds the whole state of training: what is loaded from it is saved again as the same bytes."""

from dataclasses import replace

import pytest

from agents.agent import Agent
from agents.distillation import distill_agent, distill_targets
from agents.training.checkpoint import load_model, read_checkpoint
from agents.training_state import encode_training_state, load_training_state
from tests.support.runners import runner_spec, student_spec


def trained(spec):
    agent = Agent(spec)
    agent.train(until=3)
    return agent


def published(spec):
    agent = Agent(spec)
    agent.train()
    agent.publish()
    return agent


def distilled(folder):
    teacher, student = published(runner_spec(folder)), Agent(student_spec(folder))
    assert distill_agent(student, *distill_targets(teacher, 256), lambda: False)
    return student


def public(spec):
    return replace(spec, negotiation=replace(spec.negotiation, anchor_seed=7))


AGENTS = {
    "in training": lambda folder: trained(runner_spec(folder)),
    "published": lambda folder: published(runner_spec(folder)),
    "with anchors of a public scene": lambda folder: trained(public(runner_spec(folder))),
    "a student": distilled,
    "a frozen encoder": lambda folder: published(
        runner_spec(folder, kind="frozen:tests.support.own_source:Cells")
    ),
}


@pytest.mark.parametrize("make", AGENTS.values(), ids=AGENTS)
def test_a_loaded_state_is_saved_again_as_the_same_bytes(make, tmp_path):
    agent = make(tmp_path)
    data = encode_training_state(agent)
    path = tmp_path / "copy.safetensors"
    path.write_bytes(data)
    tensors, facts, _ = read_checkpoint(path)
    assert encode_training_state(Agent(agent.spec)) != data
    again = Agent(agent.spec)
    load_model(path, again.model, tensors)
    load_training_state(again, tensors, facts)

    assert encode_training_state(again) == data
    assert again.trainer.frames == agent.trainer.frames
    assert again.trainer.seen_stop == agent.trainer.seen_stop

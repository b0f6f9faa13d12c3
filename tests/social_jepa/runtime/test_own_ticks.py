"""Agents that train at other times: which ticks each reads, and what is refused because of it."""

import contextlib
from collections import Counter
from dataclasses import replace

import pytest

from agents.agent import Agent
from agents.common.config_error import ConfigError
from agents.distillation import distill_agent, distill_targets
from env.renderer import Renderer
from social_jepa.config.run_config import load_config
from social_jepa.experiments.common.trained_agents import AgentSetup
from social_jepa.runtime.continuation import continued_config
from social_jepa.runtime.members import initial_members, member_spec, new_member
from social_jepa.storage.run_folder import RunFolder

SMALL = [
    "agents.count=3", "scene.renderer=toy", "scene.frame_size=32", "scene.objects=1", "scene.bodies=false",
    "model.dim=4", "model.width=8", "model.hidden=32", "training.steps=3", "training.segments=16",
    "training.replay_ticks=160", "training.core_eval_ticks=64", "training.new_ticks_per_step=8",
    "negotiation.pool_ticks=64", "negotiation.anchors=32", "negotiation.heldout=32",
]  # fmt: skip
OWN = [*SMALL, "training.own_ticks=true"]


class CountingRenderer(Renderer):
    """A renderer that counts how often each tick is rendered."""

    def __init__(self, renderer):
        self.renderer, self.rendered = renderer, Counter()

    def render(self, state, pose, viewer=None):
        self.rendered[state.tick] += 1
        return self.renderer.render(state, pose, viewer)

    def close(self):
        self.renderer.close()


def specs(config, tmp_path):
    members = initial_members(config)
    return [member_spec(config, member, [], RunFolder(tmp_path)) for member in members]


def ticks_read(spec):
    """The ticks that an agent has rendered once its model is published."""
    with contextlib.closing(Agent(spec)) as agent:
        agent.recorder.renderer = counting = CountingRenderer(agent.renderer)
        assert agent.train()
        agent.publish()
        return set(counting.rendered), {*agent.ticks.fit, *agent.ticks.heldout}


def test_agents_of_own_ticks_have_only_the_anchors_in_common(tmp_path):
    read = [ticks_read(spec) for spec in specs(load_config(overrides=OWN), tmp_path)]
    anchors = read[0][1]
    assert all(found == anchors for _, found in read)
    alone = [ticks - anchors for ticks, _ in read]
    for k, ticks in enumerate(alone):
        assert len(ticks) >= 160 + 3 * 8 + 64
        assert not any(ticks & other for other in alone[k + 1 :])
        assert min(ticks) > max(anchors)


def test_agents_read_the_same_ticks_by_default(tmp_path):
    first, second, *_ = (ticks_read(spec) for spec in specs(load_config(overrides=SMALL), tmp_path))
    assert first == second


def test_agents_of_an_experiment_start_where_those_of_a_run_do():
    config = load_config(overrides=OWN)
    setup = AgentSetup(config.scene, config.agents.ring, config.model, config.training, config.negotiation)
    for index in range(4):
        assert setup.train_offset(index) == config.train_offset(index)
        assert replace(setup, training=replace(setup.training, own_ticks=False)).train_offset(index) == 0


def test_a_student_reads_the_ticks_that_any_teacher_sends(tmp_path):
    config = load_config(overrides=OWN)
    members = initial_members(config)
    student = new_member(config, members, [member.name for member in members], teacher="agent-2")
    spec = member_spec(config, student, [], RunFolder(tmp_path))
    with (
        contextlib.closing(Agent(spec)) as agent,
        contextlib.closing(Agent(specs(config, tmp_path)[2])) as peer,
    ):
        peer.train()
        peer.publish()
        first, targets = distill_targets(peer, 64)
        assert peer.ticks.train_start > peer.ticks.distill_start == first
        assert distill_agent(agent, first, targets, lambda: False)
        assert agent.trainer.replay_buffer.ticks.start == first
        with pytest.raises(ValueError, match=f"start at tick {first}"):
            distill_agent(peer, first, targets, lambda: False)


def test_settings_that_would_mix_the_stretches_are_refused():
    config = load_config(overrides=OWN)
    members = initial_members(config)
    names = [member.name for member in members]
    with pytest.raises(ConfigError, match="on ticks of the next agent"):
        new_member(config, members, names, settings=["training.replay_ticks=161"])
    new_member(config, members, names, settings=["training.replay_ticks=159"])
    with pytest.raises(ConfigError, match="must be the same for all agents"):
        new_member(config, members, names, settings=["training.own_ticks=false"])
    with pytest.raises(ConfigError, match="that others have trained on"):
        continued_config(config, ["training.steps=4"])
    assert continued_config(config, ["training.learning_rate=0.001"]).train_offset(1) == config.train_offset(
        1
    )


def test_a_source_must_hold_a_stretch_for_every_agent():
    source = ["scene.source=tests.support.own_source:Square", "scene.frames.memory=4", "agents.count=2"]
    load_config(overrides=[*SMALL, *source, "training.replay_ticks=1024"])
    with pytest.raises(
        ConfigError, match=r"agent-1 needs .*for the agents before it.*training.own_ticks=false"
    ):
        load_config(overrides=[*OWN, *source, "training.replay_ticks=1024"])
    load_config(overrides=[*OWN, *source])

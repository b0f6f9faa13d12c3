"""Anchors of a public scene: peers get nothing that depends on the ticks of an agent's own scene."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.distillation import distill_agent, distill_targets
from agents.protocol.messages import AnchorReply
from agents.public_scene import PublicCamera
from agents.restoring import restore_agent
from agents.training.settings import DistillationConfig
from alignment.score import image_r2
from alignment.status import Status
from tests.support.swarm import comparable, negotiate_all, negotiation_messages, tiny_spec

PUBLIC = 77


def public_spec(index, folder, seed=0, anchor_seed=PUBLIC, **training):
    """Return the spec of an agent that trains in a second in the scene of a seed."""
    spec = tiny_spec(index, folder, **training)
    return replace(spec, seed=seed, negotiation=replace(spec.negotiation, anchor_seed=anchor_seed))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two agents that have trained in scenes of different seeds and published."""
    folder = tmp_path_factory.mktemp("public")
    agents = [Agent(public_spec(index, folder, seed=index)) for index in range(2)]
    for agent in agents:
        agent.train()
        agent.publish()
    yield agents
    for agent in agents:
        agent.close()


def negotiations(agents):
    return {agent.spec.name: agent.negotiation for agent in agents}


def test_what_the_camera_sees_does_not_depend_on_the_own_scene(tmp_path):
    spec = public_spec(0, tmp_path)
    agents = [Agent(each) for each in (spec, replace(spec, seed=5), replace(spec, events=()))]
    frames = [agent.public_camera.recorder.record(range(0, 400, 40)).frames for agent in agents]
    others = [agent.recorder.record(range(0, 400, 40)).frames for agent in agents]

    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])
    assert not any(np.array_equal(frames[0], each) for each in others)


def test_peers_get_embeddings_of_the_public_scene_alone(pair):
    for message in negotiation_messages(negotiations(pair)):
        if not isinstance(message, AnchorReply):
            continue
        agent = next(agent for agent in pair if agent.spec.name == message.source)
        rows = torch.from_numpy(message.embeddings()).double()
        camera = PublicCamera(replace(agent.spec, seed=99), PUBLIC, agent.renderer)  # of any own scene
        pools = [
            agent.published.basis(camera.encode(agent.published.model, ticks)).float()
            for ticks in (agent.ticks.fit, agent.ticks.heldout)
        ]
        assert torch.cdist(rows, torch.cat(pools).double()).amin(1).max() < 1e-4

        own = agent.published.snapshot.pools
        private = torch.cat([own.anchors.vectors, own.heldout.vectors])
        assert torch.cdist(rows, private.double()).amin(1).median() > 0.05


def test_agents_in_different_scenes_find_a_map_that_translates_ticks_that_no_message_held(pair, tmp_path):
    negotiate_all(negotiations(pair))
    edge = pair[1].negotiation.edges["agent-0"]
    assert edge.status is Status.ACCEPTED
    assert edge.score.r2_shared > 0.8 > 0.5 > edge.score.null_correlation

    # the source once more, with its model, in the scene of the target: both see the same private ticks
    there = Agent(replace(pair[0].spec, seed=1, folder=str(tmp_path)))
    known, ticks = pair[0].published, list(pair[1].ticks.heldout)
    source = known.basis.core(there.encode_ticks(ticks, known.model))
    assert image_r2(edge.shared_map, source, pair[1].encode_core(ticks)) > 0.7


def test_peers_of_different_public_scenes_refuse_each_other_with_a_sentence(pair, tmp_path):
    short = {"steps": 3, "segments": 8, "replay_ticks": 128, "core_eval_ticks": 64}
    other = Agent(public_spec(1, tmp_path, anchor_seed=PUBLIC + 1, **short))
    own = Agent(public_spec(1, tmp_path / "own", anchor_seed=-1, **short))
    for peer in (other, own):
        peer.train()
        peer.publish()
        negotiate_all({"agent-0": pair[0].negotiation, "agent-1": peer.negotiation})
        edge = peer.negotiation.edges["agent-0"]
        assert (edge.status, edge.score, edge.anchors) == (Status.REFUSED, None, 0)
        assert "the anchors of agent-0 are of another scene" in edge.reason
        assert "negotiation.anchor_seed" in edge.reason
        pair[0].negotiation.forget("agent-1")
    pair[1].negotiation.forget("agent-0")


def test_a_restarted_agent_sends_the_same_and_one_with_another_public_scene_publishes_again(pair):
    folder = pair[0].files.checkpoint_path.parents[1]
    again, changed = Agent(pair[0].spec), Agent(public_spec(0, folder, 0, 5))
    assert restore_agent(again) == restore_agent(changed) == ""
    sent, known = again.published.snapshot.sent, pair[0].published.snapshot.sent
    assert torch.equal(sent.heldout.vectors, known.heldout.vectors)
    assert again.published.snapshot.peer_info == pair[0].published.snapshot.peer_info

    assert (changed.published, changed.trainer.finished) == (None, True)


def test_a_version_tells_what_its_anchors_are_of(tmp_path):
    versions = set()
    for seed in (-1, 5, 6):
        agent = Agent(public_spec(0, tmp_path / str(seed), anchor_seed=seed))
        agent.files.save_checkpoint()
        versions.add(agent.files.checkpoint)
    assert len(versions) == 3


def test_a_moved_camera_sees_the_public_scene_from_its_new_pose(tmp_path):
    agent = Agent(public_spec(0, tmp_path))
    pose = tiny_spec(1, tmp_path).pose
    agent.move(pose, 1)
    assert agent.public_camera.recorder.pose == pose


def test_a_student_learns_from_frames_of_the_public_scene(pair, tmp_path):
    teacher, config = pair[0], DistillationConfig(ticks=256, steps=60, batch=64)
    first, targets = distill_targets(teacher, 256)
    start, camera = teacher.ticks.distill_start, teacher.public_camera
    ticks = range(start, start + 256)
    direct = teacher.published.basis.core(camera.encode(teacher.published.model, ticks))
    torch.testing.assert_close(targets, direct.float(), atol=1e-5, rtol=1e-5)

    student = Agent(replace(public_spec(1, tmp_path, seed=1), distillation=config))
    assert distill_agent(student, first, targets, lambda: False)
    student.publish()
    assert student.distill_losses[-1] < 0.3  # it sees what the teacher saw: other frames explain nothing
    edges = []
    for _ in range(2):
        negotiate_all(sides := {"agent-0": teacher.negotiation, "agent-1": student.negotiation})
        edges.append(comparable(sides["agent-1"].edges["agent-0"]))
    assert edges[0] == edges[1]

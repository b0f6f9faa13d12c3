"""A teacher and a student, each on its own agent, with nothing between them but messages."""

import numpy as np
import pytest

from agents.agent import Agent
from agents.protocol.peer_protocol import PeerProtocol
from agents.student import MAX_DISTILL_REQUESTS, Student
from agents.teacher import Teacher
from tests.support.keys import known_peers, local_peer
from tests.support.runners import runner_spec, student_spec
from tests.support.swarm import LossyTransport, planted_negotiation


@pytest.fixture
def transport():
    return LossyTransport()


@pytest.fixture
def protocols(transport):
    """The protocols of agent-0, the teacher, and agent-1, the student."""
    found = [PeerProtocol(local_peer(name), transport) for name in ("agent-0", "agent-1")]
    for protocol, other in zip(found, reversed(found), strict=True):
        transport.listen(protocol.name, protocol.receive)
        protocol.update_peers(known_peers({other.name: 1}))
    return found


def test_a_student_is_taught_by_messages_alone(protocols, transport, tmp_path):
    mentor, learner = Agent(runner_spec(tmp_path)), Agent(student_spec(tmp_path))
    mentor.train()
    mentor.publish()
    protocols[0].publish(mentor.negotiation)
    transport.run()
    teacher, remarks = Teacher(protocols[0]), []

    def deliver(seconds):
        transport.run()
        remarks.append(teacher.reply(mentor))
        transport.run()

    student = Student(protocols[1], lambda: False, deliver, remarks.append)
    assert student.learn(learner)
    assert set(remarks) == {""}
    assert learner.spec.teacher == "agent-0"
    assert learner.distill_frames == 6 * 64
    assert protocols[1].distillation.replies == {}


def test_an_agent_that_has_published_nothing_leaves_requests_open(protocols, tmp_path):
    agent = Agent(runner_spec(tmp_path))
    protocols[0].distillation.requests["agent-1"] = object()

    assert Teacher(protocols[0]).reply(agent) == ""
    assert "agent-1" in protocols[0].distillation.requests


def test_a_student_without_a_reply_gives_up_its_teacher_and_nothing_else(
    protocols, transport, tmp_path, monkeypatch
):
    monkeypatch.setattr("agents.student.DISTILL_TIMEOUT", -1.0)
    protocols[0].publish(planted_negotiation(0))
    transport.run()
    agent, remarks = Agent(student_spec(tmp_path)), []
    before = [tensor.numpy().copy() for tensor in agent.model.state_dict().values()]
    student = Student(protocols[1], lambda: False, lambda _: transport.run(), remarks.append)

    assert not student.learn(agent)
    assert remarks == [
        f"agent-0 did not reply to {MAX_DISTILL_REQUESTS} distillation requests; training alone"
    ]
    assert agent.spec.teacher == ""
    for tensor, old in zip(agent.model.state_dict().values(), before, strict=True):
        assert np.array_equal(tensor.numpy(), old)


def test_an_interrupted_student_keeps_its_teacher(protocols, tmp_path):
    agent = Agent(student_spec(tmp_path))

    assert not Student(protocols[1], lambda: True, lambda _: None, lambda _: None).learn(agent)
    assert agent.spec.teacher == "agent-0"

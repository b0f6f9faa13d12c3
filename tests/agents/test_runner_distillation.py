import time

import numpy as np
import pytest

from agents.agent import Agent
from agents.protocol.messages import DistillReply, DistillRequest
from agents.protocol.wire import MAX_ENVELOPE_BYTES
from tests.support.runners import constant_rows, runner_spec, step, student_spec, uninterrupted_losses
from tests.support.swarm import planted_negotiation


def sent(group, kind):
    """Return all sent messages of one type."""
    return [message for message in group.transport.messages if isinstance(message, kind)]


def test_a_student_learns_from_its_teacher_and_then_negotiates(group, tmp_path):
    teacher = group.start(runner_spec(tmp_path, online=False))
    student = group.start(student_spec(tmp_path, online=False))
    group.wait_until(lambda: all(runner.protocol.settled() for runner in (teacher, student)))

    assert student.snapshot.progress.distill_frames == 6 * 64
    assert student.agent.trainer.losses == []
    assert len(sent(group, DistillReply)) == 1
    assert student.protocol.distill_replies == {}
    assert {edge.source for edge in student.protocol.events(1, 0).edges} == {"agent-0"}


def test_a_restarted_student_does_not_repeat_its_distillation(group, tmp_path):
    teacher = group.start(runner_spec(tmp_path, online=False))
    student = group.start(student_spec(tmp_path, online=False))
    group.wait_until(lambda: student.snapshot is not None)
    group.stop("agent-1")
    restarted = group.start(student_spec(tmp_path, online=False), incarnation=2)
    group.wait_until(
        lambda: restarted.snapshot is not None and restarted.protocol.settled() and teacher.protocol.settled()
    )

    assert restarted.snapshot.peer_info == student.snapshot.peer_info
    assert len(sent(group, DistillRequest)) == 1


def test_a_student_whose_teacher_is_not_a_peer_trains_alone(group, tmp_path):
    student = group.start(student_spec(tmp_path))
    group.wait_until(lambda: student.snapshot is not None)

    assert student.snapshot.progress.distill_frames == 0
    assert student.agent.trainer.losses[:8] == uninterrupted_losses(tmp_path / "alone", index=1)[:8]
    assert student.agent.spec.teacher == ""


def test_a_student_waits_for_a_teacher_that_has_published_nothing(group, tmp_path):
    teacher = group.add_protocol("agent-0")
    student = group.start(student_spec(tmp_path))
    group.wait_until(lambda: student.agent is not None)
    time.sleep(0.2)
    assert (student.agent.phase, step(student), group.transport.messages) == ("distilling", 0, [])

    teacher.publish(planted_negotiation(0))
    group.wait_until(lambda: teacher.distill_requests)
    assert teacher.distill_requests["agent-1"].ticks == 256


def test_a_student_whose_teacher_does_not_reply_trains_alone_and_says_so(
    group, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("agents.runner.DISTILL_TIMEOUT", 0.05)
    teacher = group.add_protocol("agent-0")
    student = group.start(student_spec(tmp_path))
    teacher.publish(planted_negotiation(0))
    group.wait_until(lambda: student.snapshot is not None)

    assert len(sent(group, DistillRequest)) == 3
    assert student.note == "agent-0 did not reply to 3 distillation requests; training alone"
    assert f"agent-1: {student.note}" in [record.getMessage() for record in caplog.records]
    assert student.snapshot.progress.distill_frames == 0


INVALID_REPLIES = {
    "of ticks that maps are scored on": {"first_tick": 0},
    "of fewer rows than a batch": {"rows": 5, "data": constant_rows(5)},
    "with another number of bytes": {"data": constant_rows(3)},
    "with NaN": {"data": constant_rows(256, value=np.nan)},
}


@pytest.mark.parametrize("case", INVALID_REPLIES)
def test_an_invalid_distillation_reply_is_refused_and_the_student_trains_alone(group, tmp_path, case):
    teacher = group.add_protocol("agent-0")
    spec = student_spec(tmp_path)
    first = Agent(spec).train_start
    student = group.start(spec)
    reply = {"first_tick": first, "rows": 256, "dim": 2, "data": constant_rows(256)} | INVALID_REPLIES[case]
    teacher.send([DistillReply(source="agent-0", target="agent-1", round=0, **reply)])
    group.wait_until(lambda: student.snapshot is not None)

    assert "refused the distillation reply of agent-0; training alone" in student.note
    assert student.failure is None
    assert student.snapshot.progress.distill_frames == 0


def test_a_distillation_reply_is_cut_to_half_an_envelope(group, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.runner.MAX_ENVELOPE_BYTES", 8 * 2 * 100)
    teacher = group.start(runner_spec(tmp_path, online=False))
    group.start(student_spec(tmp_path))
    group.wait_until(lambda: sent(group, DistillReply))

    (reply,) = sent(group, DistillReply)
    assert reply.rows == 200 // teacher.agent.published.basis.core_dim
    assert MAX_ENVELOPE_BYTES > 8 * 2 * 100


def test_a_student_that_waits_for_its_teacher_stops_at_once(group, tmp_path):
    group.add_protocol("agent-0")
    student = group.start(student_spec(tmp_path))
    group.wait_until(lambda: student.agent is not None)
    began = time.monotonic()
    group.stop("agent-1")

    assert time.monotonic() - began < 5
    assert student.failure is None

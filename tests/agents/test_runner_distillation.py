import time
from dataclasses import replace

import numpy as np
import pytest

from agents.agent import Agent
from agents.distillation import distill_targets
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
    assert student.protocol.distillation.replies == {}
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


def test_a_student_whose_published_model_is_gone_publishes_again(group, tmp_path):
    """As in a fork, which copies the checkpoint alone."""
    group.start(runner_spec(tmp_path, online=False))
    spec = student_spec(tmp_path, online=False)
    student = group.start(spec)
    group.wait_until(lambda: student.snapshot is not None)
    group.stop("agent-1")
    student.agent.files.published_path.unlink()
    again = group.start(spec, incarnation=2)
    group.wait_until(lambda: again.snapshot is not None or again.failure is not None)

    assert again.failure is None
    assert again.snapshot.progress.distill_frames == student.snapshot.progress.distill_frames > 0
    before, after = (runner.snapshot.pools.heldout for runner in (student, again))
    assert after.ids == before.ids
    assert again.snapshot.peer_info.core_dim > 0


def test_a_teacher_sends_no_more_ticks_than_its_settings_allow_and_lives_on(group, tmp_path, monkeypatch):
    greedy, spec = group.add_protocol("agent-1"), runner_spec(tmp_path, online=False)
    teacher = group.start(replace(spec, distillation=replace(spec.distillation, ticks=100, batch=64)))
    group.wait_until(lambda: teacher.snapshot is not None)

    def outside(*_):
        raise ValueError("tick 6143: choose from 0 to 5999")

    with monkeypatch.context() as patched:
        patched.setattr("agents.teacher.distill_targets", outside)
        greedy.send([DistillRequest(source="agent-0", target="agent-1", round=0, ticks=100)])
        group.wait_until(lambda: "cannot teach agent-1: tick 6143" in teacher.note)
    greedy.send([DistillRequest(source="agent-0", target="agent-1", round=1, ticks=65_536)])
    group.wait_until(lambda: sent(group, DistillReply))
    assert sent(group, DistillReply)[0].rows == 100
    assert teacher.submit(lambda agent: agent.spec.name).result(10) == "agent-0"
    assert teacher.failure is None


def test_a_teacher_encodes_once_for_each_model_whatever_is_requested(group, tmp_path, monkeypatch):
    asked, spec = [], runner_spec(tmp_path, online=False)

    def targets(agent, ticks, noise_key):
        asked.append(ticks)
        return distill_targets(agent, ticks, noise_key)

    monkeypatch.setattr("agents.teacher.distill_targets", targets)
    student = group.add_protocol("agent-1")
    teacher = group.start(replace(spec, distillation=replace(spec.distillation, ticks=100, batch=64)))
    group.wait_until(lambda: teacher.snapshot is not None)
    for number, ticks in enumerate((30, 100, 65)):
        student.send([DistillRequest(source="agent-0", target="agent-1", round=number, ticks=ticks)])
        group.wait_until(lambda count=number + 1: len(sent(group, DistillReply)) == count)

    first, whole, third = (reply.embeddings() for reply in sent(group, DistillReply))
    assert asked == [100]
    assert (whole[:30] == first).all()
    assert (whole[:65] == third).all()
    assert len(whole) == 100
    published = teacher.submit(lambda agent: agent.publish()).result(30)
    student.send([DistillRequest(source="agent-0", target="agent-1", round=3, ticks=10)])
    group.wait_until(lambda: len(sent(group, DistillReply)) == 4)
    assert published.peer_info.name == "agent-0"
    assert asked == [100, 100]


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
    group.wait_until(lambda: teacher.distillation.requests)
    assert teacher.distillation.requests["agent-1"].ticks == 256


def test_a_student_whose_teacher_does_not_reply_trains_alone_and_says_so(
    group, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("agents.student.DISTILL_TIMEOUT", 0.05)
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
    "with NaN": {"data": constant_rows(256, value=np.nan)},
}


@pytest.mark.parametrize("case", INVALID_REPLIES)
def test_an_invalid_distillation_reply_is_refused_and_the_student_trains_alone(group, tmp_path, case):
    teacher = group.add_protocol("agent-0")
    spec = student_spec(tmp_path)
    first = Agent(spec).ticks.train_start
    student = group.start(spec)
    teacher.publish(planted_negotiation(0))
    group.wait_until(lambda: teacher.distillation.requests)
    reply = {"first_tick": first, "rows": 256, "dim": 2, "data": constant_rows(256)} | INVALID_REPLIES[case]
    teacher.send([DistillReply(source="agent-0", target="agent-1", round=0, **reply)])
    group.wait_until(lambda: student.snapshot is not None)

    assert "refused the distillation reply of agent-0; training alone" in student.note
    assert student.failure is None
    assert student.snapshot.progress.distill_frames == 0
    assert student.protocol.distillation.replies == {}


def test_a_distillation_reply_is_cut_to_half_an_envelope(group, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.teacher.MAX_ENVELOPE_BYTES", 8 * 2 * 100)
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

import time

import numpy as np
import pytest

from agents.agent import Agent
from agents.protocol.messages import DistillReply
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.wire import MAX_FRAME
from tests.support.runners import losses_of, numbers, pupil_spec, spec, step
from tests.support.swarm import agent


def test_a_pupil_learns_from_its_teacher_and_then_speaks_with_everybody(world, tmp_path):
    teacher = world.begin(spec(tmp_path, online=False))
    pupil = world.begin(pupil_spec(tmp_path, online=False))
    world.until(lambda: all(life.protocol.settled() for life in (teacher, pupil)))

    assert pupil.snapshot.progress.distill_frames == 6 * 64
    assert pupil.agent.trainer.losses == []
    assert [type(said).__name__ for said in world.transport.said].count("DistillReply") == 1
    assert pupil.protocol.distill_replies == {}
    assert {edge.source for edge in pupil.protocol.events(1, 0).edges} == {"agent-0"}


def test_a_pupil_that_was_taught_once_is_not_taught_again_in_its_next_life(world, tmp_path):
    teacher = world.begin(spec(tmp_path, online=False))
    pupil = world.begin(pupil_spec(tmp_path, online=False))
    world.until(lambda: pupil.snapshot is not None)
    world.end("agent-1")
    again = world.begin(pupil_spec(tmp_path, online=False), life=2)
    world.until(
        lambda: again.snapshot is not None and again.protocol.settled() and teacher.protocol.settled()
    )

    assert again.snapshot.peer_info == pupil.snapshot.peer_info
    assert [type(said).__name__ for said in world.transport.said].count("DistillRequest") == 1


def test_a_pupil_whose_teacher_leaves_learns_alone(world, tmp_path):
    pupil = world.begin(pupil_spec(tmp_path))  # nobody has told it of its teacher
    world.until(lambda: pupil.snapshot is not None)

    assert pupil.snapshot.progress.distill_frames == 0
    assert pupil.agent.trainer.losses[:8] == losses_of(tmp_path / "alone", index=1)[:8]
    assert pupil.agent.spec.teacher == ""


def test_a_pupil_waits_for_a_teacher_that_still_learns(world, tmp_path):
    world.protocols["agent-0"] = PeerProtocol("agent-0", world.transport, incarnation=1)
    world.transport.listen("agent-0", world.protocols["agent-0"].receive)
    pupil = world.begin(pupil_spec(tmp_path))
    world.until(lambda: pupil.agent is not None)
    time.sleep(0.2)
    assert (pupil.agent.phase, step(pupil), world.transport.said) == ("distilling", 0, [])

    world.protocols["agent-0"].publish(agent(0))
    world.until(lambda: world.protocols["agent-0"].distill_requests)
    assert world.protocols["agent-0"].distill_requests["agent-1"].ticks == 256


BAD = {
    "of ticks that score maps": {"first": 0},
    "too short to learn from": {"rows": 5, "data": numbers(5)},
    "of other bytes than it says": {"data": numbers(3)},
    "of no numbers": {"data": numbers(256, value=np.nan)},
}


@pytest.mark.parametrize("case", BAD)
def test_a_lesson_that_cannot_be_is_refused_and_its_pupil_learns_alone(world, tmp_path, case):
    protocol = world.protocols["agent-0"] = PeerProtocol("agent-0", world.transport, incarnation=1)
    world.transport.listen("agent-0", protocol.receive)
    wanted = pupil_spec(tmp_path)
    first = Agent(wanted).train_start
    pupil = world.begin(wanted)
    lesson = {"first": first, "rows": 256, "dim": 2, "data": numbers(256)} | BAD[case]
    protocol.send([DistillReply(source="agent-0", target="agent-1", round=0, **lesson)])
    world.until(lambda: pupil.snapshot is not None)

    assert "the lesson of agent-0 was refused, and it learns alone" in pupil.note
    assert pupil.failure is None
    assert pupil.snapshot.progress.distill_frames == 0


def test_a_pupil_that_asks_for_too_much_gets_what_one_frame_holds(world, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.runner.MAX_FRAME", 8 * 2 * 100)
    teacher = world.begin(spec(tmp_path, online=False))
    world.begin(pupil_spec(tmp_path))
    world.until(lambda: [said for said in world.transport.said if isinstance(said, DistillReply)])

    (lesson,) = [said for said in world.transport.said if isinstance(said, DistillReply)]
    assert lesson.rows == 200 // teacher.agent.published.basis.core_dim
    assert MAX_FRAME > 8 * 2 * 100


def test_who_is_stopped_while_it_listens_stops_at_once(world, tmp_path):
    world.protocols["agent-0"] = PeerProtocol("agent-0", world.transport, incarnation=1)
    world.transport.listen("agent-0", world.protocols["agent-0"].receive)
    pupil = world.begin(pupil_spec(tmp_path))
    world.until(lambda: pupil.agent is not None)
    began = time.monotonic()
    world.end("agent-1")

    assert time.monotonic() - began < 5
    assert pupil.failure is None

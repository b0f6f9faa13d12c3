import contextlib
import threading
import time
from dataclasses import replace

import pytest
import torch

from agents.agent import Agent
from agents.models.checker import WorldModelError
from agents.protocol.peer_protocol import PeerProtocol
from agents.runner import AgentRunner
from env.camera import RingConfig, ring_pose
from env.scene import BodyEvent
from tests.support.runners import MOVED, World, losses_of, spec, step


def test_a_life_learns_publishes_and_goes_on(world, tmp_path):
    life = world.begin(spec(tmp_path))
    world.until(lambda: life.snapshot is not None)
    first = life.snapshot
    world.until(lambda: step(life) >= 20)

    assert first.progress.step == 8
    assert life.protocol.negotiation is not None
    assert life.agent.published.snapshot.peer_info.checkpoint == life.snapshot.peer_info.checkpoint
    world.end()
    assert life.failure is None
    assert life.agent.phase == life.facts()["progress"].phase == "stopped"
    again = Agent(spec(tmp_path))
    again.load()
    assert again.trainer.step == step(life)
    assert again.published.snapshot.peer_info == life.snapshot.peer_info


def test_a_life_that_does_not_go_on_waits_when_its_course_is_over(world, tmp_path):
    life = world.begin(spec(tmp_path, online=False))
    world.until(lambda: life.snapshot is not None)
    time.sleep(0.2)

    assert (step(life), life.agent.phase) == (8, "ready")


@pytest.mark.parametrize("cut", [3, 8, 13])
def test_a_life_that_was_cut_short_and_begun_again_loses_what_an_uninterrupted_one_does(world, tmp_path, cut):
    life = world.begin(spec(tmp_path / "parted"))
    world.until(lambda: step(life) >= cut)
    world.end()
    parted = step(life)
    again = world.begin(spec(tmp_path / "parted"), life=2)
    world.until(lambda: step(again) >= parted + 10)
    world.end()

    losses = again.agent.trainer.losses
    assert len(losses) >= cut + 10
    assert losses[:40] == losses_of(tmp_path / "whole")[: len(losses)]


def test_a_life_that_is_begun_again_shows_at_once_what_it_had_published(world, tmp_path):
    life = world.begin(spec(tmp_path))
    world.until(lambda: life.snapshot is not None)
    world.end()
    again = world.begin(spec(tmp_path), life=2)
    world.until(lambda: again.snapshot is not None)

    assert again.snapshot.peer_info == life.snapshot.peer_info
    assert torch.equal(again.snapshot.pools.anchors.vectors, life.snapshot.pools.anchors.vectors)
    assert again.note == ""


def test_one_that_finds_nothing_of_its_former_life_says_so_and_begins_anew(world, tmp_path):
    life = world.begin(spec(tmp_path), life=3)
    world.until(lambda: life.snapshot is not None)

    assert "found no checkpoint in" in life.note
    assert life.snapshot.progress.step == 8


def test_errands_run_between_two_steps_and_on_one_thread(world, tmp_path):
    life = world.begin(replace(spec(tmp_path), training=replace(spec(tmp_path).training, steps=10**6)))
    world.until(lambda: step(life) > 0)
    threads = {life.submit(lambda _: threading.get_ident()).result(10) for _ in range(5)}

    assert threads == {world.threads["agent-0"].ident}
    with pytest.raises(ZeroDivisionError):
        life.submit(lambda _: 1 / 0).result(10)
    with pytest.raises(RuntimeError, match="agent-0 has published no model yet: retry"):
        life.submit(lambda own: own.encode_core([0])).result(10)
    assert life.failure is None


def test_what_is_asked_before_birth_is_done_before_the_first_frame(world, tmp_path):
    body = BodyEvent(0, "agent-9", ring_pose(1, RingConfig()))

    def record_thread(own):
        own.set_body_events([*own.spec.events, body])
        return own.trainer.frames, len(own.trainer.replay_buffer)

    life = AgentRunner(PeerProtocol("agent-0", world.transport))
    asked = life.submit(record_thread)
    thread = threading.Thread(target=life.run, args=(lambda: spec(tmp_path),))
    thread.start()
    world.until(lambda: life.snapshot is not None or life.failure is not None)
    life.stop()
    thread.join()

    assert asked.result(0) == (0, 0)
    assert life.failure is None
    assert body in life.agent.spec.events


def test_after_the_end_an_errand_is_refused_with_a_sentence(world, tmp_path):
    life = world.begin(spec(tmp_path))
    world.until(lambda: step(life) > 0)
    world.end()

    with pytest.raises(RuntimeError, match="the agent answers no more: it is stopping"):
        life.submit(lambda own: own.spec).result(1)


def test_what_ends_a_life_is_kept_and_fails_who_waits(world, tmp_path):
    wanted = spec(tmp_path)
    life = world.begin(replace(wanted, training=replace(wanted.training, learning_rate=1e30)))
    world.threads["agent-0"].join(30)

    assert "try a lower training.learning_rate" in str(life.failure)
    assert life.facts()["failure"] == str(life.failure)
    with pytest.raises(RuntimeError, match=r"answers no more: .*learning_rate"):
        life.submit(lambda own: own.spec).result(1)


def test_what_cannot_even_be_built_is_kept_as_well(world, tmp_path):
    wanted = spec(tmp_path)
    life = world.begin(replace(wanted, pose=replace(wanted.pose, yaw=wanted.pose.yaw + 180)))
    world.threads["agent-0"].join(30)

    assert "sees nothing" in str(life.failure)
    with pytest.raises(RuntimeError, match="sees nothing"):
        life.submit(lambda own: own.spec).result(1)


def test_a_camera_that_moves_is_silent_until_it_has_learned_its_new_view(world, tmp_path):
    life = world.begin(spec(tmp_path))
    world.until(lambda: life.snapshot is not None)
    before = life.snapshot
    seen = []

    def look(own):
        seen.append((life.snapshot, life.protocol.negotiation, own.trainer.step, own.spec.pose_version))

    life.move(MOVED, 1)
    life.submit(look).result(10)
    world.until(lambda: life.snapshot is not None and life.snapshot.pose_version == 1)

    assert seen == [(None, None, 0, 1)]
    assert life.agent.spec.pose == MOVED
    assert life.snapshot.peer_info.checkpoint != before.peer_info.checkpoint
    assert life.snapshot.progress.step == 8
    life.move(ring_pose(1, RingConfig()), 1).result(10)  # an older order that arrives late
    assert life.agent.spec.pose == MOVED


def test_one_that_dies_after_its_camera_moved_goes_on_with_its_weights_and_shows_nothing_old(world, tmp_path):
    life = world.begin(spec(tmp_path))
    world.until(lambda: life.snapshot is not None)
    world.end()
    weights = {name: tensor.clone() for name, tensor in life.agent.model.state_dict().items()}
    late = Agent(replace(spec(tmp_path), pose=MOVED, pose_version=1))
    late.load()

    assert late.trainer.step == 0
    assert late.published is late.basis is None
    assert all(torch.equal(tensor, weights[name]) for name, tensor in late.model.state_dict().items())
    again = world.begin(replace(spec(tmp_path), pose=MOVED, pose_version=1), life=2)
    world.until(lambda: again.snapshot is not None)
    assert again.snapshot.pose_version == 1


def test_many_may_ask_at_once_while_it_stops(world, tmp_path):
    life = world.begin(spec(tmp_path))
    world.until(lambda: step(life) > 0)
    futures = []

    def ask():
        for _ in range(200):
            futures.append(life.submit(lambda own: own.trainer.step))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    world.end()
    for asker in askers:
        asker.join()
    for future in futures:
        with contextlib.suppress(RuntimeError):
            future.result(10)

    assert len(futures) == 800
    assert life.failure is None


def test_a_model_that_breaks_the_contract_is_refused_before_it_learns(tmp_path, monkeypatch):
    (tmp_path / "leaky_models.py").write_text(
        "from agents.models.world_model import Jepa\n\n\n"
        "class Leaky(Jepa):\n"
        "    def encode(self, frames):\n"
        "        codes = super().encode(frames)\n"
        "        return codes - codes.mean(0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    world = World()
    life = world.begin(spec(tmp_path / "agent", kind="leaky_models:Leaky"))
    world.threads["agent-0"].join(timeout=60)

    assert isinstance(life.failure, WorldModelError)
    assert "in eval() use no statistics of the batch" in str(life.failure)
    assert life.agent is None

import contextlib
import errno
import logging
import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from agents import activity, further_encoders
from agents.agent import Agent
from agents.common import files
from agents.protocol.peer_protocol import PeerProtocol
from agents.request_queue import AgentStoppedError
from agents.restoring import restore_agent
from agents.runner import AgentRunner
from env.camera import RingConfig, ring_pose
from env.scene import BodyEvent
from tests.support import failing_models
from tests.support.keys import local_peer
from tests.support.runners import MOVED_POSE, runner_spec, state, step, uninterrupted_losses


def test_a_runner_trains_publishes_and_trains_online(group, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    runner = group.start(runner_spec(tmp_path))
    group.wait_until(lambda: runner.snapshot is not None)
    first = runner.snapshot
    group.wait_until(lambda: step(runner) >= 20)

    assert first.progress.step == 8
    assert f"agent-0 published checkpoint {first.peer_info.checkpoint} at step 8" in caplog.text
    assert runner.protocol.negotiation is not None
    assert runner.agent.published.snapshot.peer_info.checkpoint == runner.snapshot.peer_info.checkpoint
    group.stop()
    assert runner.failure is None
    assert runner.agent.phase == state(runner)[0].phase == "stopped"
    restored = Agent(runner_spec(tmp_path))
    restore_agent(restored)
    assert restored.trainer.step == step(runner)
    assert restored.published.snapshot.peer_info == runner.snapshot.peer_info


def test_a_runner_that_is_not_online_idles_after_its_schedule(group, tmp_path):
    runner = group.start(runner_spec(tmp_path, online=False))
    group.wait_until(lambda: runner.snapshot is not None)
    time.sleep(0.2)

    assert (step(runner), runner.agent.phase) == (8, "ready")


@pytest.mark.parametrize("steps", [3, 8, 13])
def test_an_interrupted_and_resumed_agent_has_the_losses_of_an_uninterrupted_one(group, tmp_path, steps):
    runner = group.start(runner_spec(tmp_path / "interrupted"))
    group.wait_until(lambda: step(runner) >= steps)
    group.stop()
    stopped_at = step(runner)
    resumed = group.start(runner_spec(tmp_path / "interrupted"), incarnation=2)
    group.wait_until(lambda: step(resumed) >= stopped_at + 10)
    group.stop()

    losses = resumed.agent.trainer.losses
    assert len(losses) >= steps + 10
    assert losses[:40] == uninterrupted_losses(tmp_path / "uninterrupted")[: len(losses)]


def test_a_restarted_agent_publishes_the_model_that_it_had_published(group, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    runner = group.start(runner_spec(tmp_path))
    group.wait_until(lambda: runner.snapshot is not None)
    group.stop()
    restarted = group.start(runner_spec(tmp_path), incarnation=2)
    group.wait_until(lambda: restarted.snapshot is not None)

    assert restarted.snapshot.peer_info == runner.snapshot.peer_info
    assert torch.equal(restarted.snapshot.pools.anchors.vectors, runner.snapshot.pools.anchors.vectors)
    assert restarted.note == ""
    version = runner.agent.files.checkpoint
    assert f"agent-0 resumes from checkpoint {version} at step {step(runner)}" in caplog.text


def test_a_restarted_agent_that_finds_no_checkpoint_says_so_and_trains_from_the_start(group, tmp_path):
    runner = group.start(runner_spec(tmp_path), incarnation=3)
    group.wait_until(lambda: runner.snapshot is not None)

    assert "trains from the start: no checkpoint was saved" in runner.note
    assert runner.snapshot.progress.step == 8


def test_requests_run_between_two_steps_on_the_thread_of_the_agent(group, tmp_path):
    spec = runner_spec(tmp_path)
    runner = group.start(replace(spec, training=replace(spec.training, steps=10**6)))
    group.wait_until(lambda: step(runner) > 0)
    threads = {runner.submit(lambda _: threading.get_ident()).result(10) for _ in range(5)}

    assert threads == {group.threads["agent-0"].ident}
    with pytest.raises(ZeroDivisionError):
        runner.submit(lambda _: 1 / 0).result(10)
    with pytest.raises(RuntimeError, match="agent-0 has published no model yet: retry"):
        runner.submit(lambda agent: agent.encode_core([0])).result(10)
    assert runner.failure is None


def test_a_turn_ends_only_once_its_files_have_found_room(group, tmp_path, monkeypatch):
    full, write = threading.Event(), files.write_atomically
    full.set()

    def write_where_there_is_room(path, data):
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(files, "write_atomically", write_where_there_is_room)
    monkeypatch.setattr(files, "RETRY_SECONDS", 0.05)
    runner, spec = AgentRunner(PeerProtocol(local_peer("agent-0"), group.transport)), runner_spec(tmp_path)
    thread = threading.Thread(target=runner.run, args=(spec, True))
    thread.start()
    group.wait_until(lambda: runner.snapshot is not None and len(runner.agent.files.unsaved) == 2)
    assert thread.is_alive()
    full.clear()
    thread.join(60)

    assert runner.failure is None
    assert not runner.agent.files.unsaved
    restored = Agent(spec)
    restore_agent(restored)
    assert restored.published.snapshot.peer_info == runner.snapshot.peer_info


def test_a_request_submitted_before_the_agent_exists_runs_before_its_first_frame(group, tmp_path):
    body = BodyEvent(0, "agent-9", ring_pose(1, RingConfig()))

    def add_body(agent):
        agent.set_body_events([*agent.spec.events, body])
        return agent.trainer.frames, len(agent.trainer.replay_buffer)

    runner = AgentRunner(PeerProtocol(local_peer("agent-0"), group.transport))
    future = runner.submit(add_body)
    thread = threading.Thread(target=runner.run, args=(runner_spec(tmp_path),))
    thread.start()
    group.wait_until(lambda: runner.snapshot is not None or runner.failure is not None)
    runner.stop()
    thread.join()

    assert future.result(0) == (0, 0)
    assert runner.failure is None
    assert body in runner.agent.spec.events


def test_an_agent_trains_on_though_its_peers_are_answered_all_the_time(group, monkeypatch):
    monkeypatch.setattr("agents.peer_wait.WAIT_BURST_SECONDS", 0.05)
    runner = AgentRunner(PeerProtocol(local_peer("agent-0"), group.transport))
    runner.agent = SimpleNamespace(phase="training", published=None)
    runner.protocol.busy_until = math.inf
    began = time.monotonic()
    for _ in range(10):
        runner._service_requests()

    assert 0.05 < time.monotonic() - began < 0.5


@pytest.mark.parametrize("stops", [False, True])
def test_a_request_that_its_caller_has_cancelled_is_left_out(group, tmp_path, stops):
    runner, ran = AgentRunner(PeerProtocol(local_peer("agent-0"), group.transport)), []
    cancelled = runner.submit(lambda agent: ran.append("cancelled"))
    last = runner.submit(lambda agent: agent.spec.name)
    assert cancelled.cancel()
    if stops:
        runner.stop()
    thread = threading.Thread(target=runner.run, args=(runner_spec(tmp_path, online=False), True))
    thread.start()
    thread.join(60)

    assert runner.failure is None
    assert ran == []
    if stops:
        with pytest.raises(AgentStoppedError, match="it is stopping"):
            last.result(1)
    else:
        assert last.result(1) == "agent-0"


def test_a_request_to_a_stopped_runner_fails_with_the_reason(group, tmp_path):
    runner = group.start(runner_spec(tmp_path))
    group.wait_until(lambda: step(runner) > 0)
    group.stop()

    with pytest.raises(
        AgentStoppedError, match="the agent accepts no more requests: it is stopping"
    ) as caught:
        runner.submit(lambda agent: agent.spec).result(1)
    assert caught.value.reason == "it is stopping"


def test_an_error_in_training_is_kept_logged_and_fails_requests(group, tmp_path, caplog):
    spec = runner_spec(tmp_path)
    runner = group.start(replace(spec, training=replace(spec.training, learning_rate=1e30)))
    group.threads["agent-0"].join(30)

    assert "try a lower training.learning_rate" in runner.failure.message
    assert runner.failure.phase == "training"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "the runner of agent-0 failed"
    assert record.exc_info[0].__name__ == "TrainingError"
    with pytest.raises(AgentStoppedError, match=r"accepts no more requests: .*learning_rate"):
        runner.submit(lambda agent: agent.spec).result(1)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("RaisesWithoutText", "ZeroDivisionError"),
        ("FailsAssertion", "AssertionError"),
        ("Exits", "SystemExit"),
        ("Interrupts", "KeyboardInterrupt"),
    ],
)
def test_an_error_without_a_text_and_one_that_would_end_the_process_are_failures(
    group, tmp_path, model, kind
):
    runner = group.start(runner_spec(tmp_path, kind=f"tests.support.failing_models:{model}"))
    group.threads["agent-0"].join(60)

    failure = runner.failure
    assert (failure.type, failure.message, failure.phase) == (kind, "", "training")
    assert failure.step == failing_models.LOSSES - 1
    assert failure.file == failing_models.__file__
    assert failure.line == getattr(failing_models, model).fail.__code__.co_firstlineno + 1
    with pytest.raises(AgentStoppedError, match=kind):
        runner.submit(lambda agent: agent.spec).result(1)


def test_an_agent_whose_model_loops_is_idle_at_that_line_and_goes_on_when_it_returns(
    group, tmp_path, monkeypatch
):
    monkeypatch.setattr(activity, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(activity, "FIRST_STEP_SECONDS", 0.5)
    monkeypatch.setattr(activity, "IDLE_FACTOR", 1.5)
    looping = failing_models.LoopsForever
    monkeypatch.setattr(looping, "released", threading.Event())
    runner = group.start(runner_spec(tmp_path, kind="tests.support.failing_models:LoopsForever"))
    try:
        group.wait_until(
            lambda: step(runner) == failing_models.LOSSES - 1 and runner.activity.idle_seconds > 0.5
        )
        seen = runner.activity
    finally:
        looping.released.set()

    first = looping.fail.__code__.co_firstlineno
    assert (seen.file, seen.line) in {(failing_models.__file__, first + k) for k in (1, 2)}
    assert "in fail" in seen.stack
    group.wait_until(lambda: runner.snapshot is not None)
    assert runner.failure is None


def test_a_model_that_exits_while_it_is_checked_is_a_failure(group, tmp_path):
    runner = group.start(runner_spec(tmp_path, kind="tests.support.failing_models:ExitsWhileChecked"))
    group.threads["agent-0"].join(60)

    assert (runner.failure.type, runner.failure.phase) == ("SystemExit", "checking")


def test_an_agent_that_cannot_be_built_is_a_failure_as_well(group, tmp_path):
    spec = runner_spec(tmp_path)
    runner = group.start(replace(spec, pose=replace(spec.pose, yaw=spec.pose.yaw + 180)))
    group.threads["agent-0"].join(30)

    assert "sees nothing" in runner.failure.message
    with pytest.raises(AgentStoppedError, match="sees nothing"):
        runner.submit(lambda agent: agent.spec).result(1)


def test_an_agent_whose_camera_moves_withdraws_its_model_until_it_has_learned_the_new_view(group, tmp_path):
    runner = group.start(runner_spec(tmp_path))
    group.wait_until(lambda: runner.snapshot is not None)
    before = runner.snapshot
    during = []

    def record_state(agent):
        published = (runner.snapshot, runner.protocol.negotiation)
        during.append((*published, agent.trainer.step, agent.spec.pose_version))

    runner.move(MOVED_POSE, 1)
    runner.submit(record_state).result(10)
    group.wait_until(lambda: runner.snapshot is not None and runner.snapshot.pose_version == 1)

    assert during == [(None, None, 0, 1)]
    assert runner.agent.spec.pose == MOVED_POSE
    assert runner.snapshot.peer_info.checkpoint != before.peer_info.checkpoint
    assert runner.snapshot.progress.step == 8
    runner.move(ring_pose(1, RingConfig()), 1).result(10)  # a call that arrives after a newer one
    assert runner.agent.spec.pose == MOVED_POSE


def test_an_agent_restarted_after_a_camera_move_keeps_its_weights_and_publishes_nothing_old(group, tmp_path):
    runner = group.start(runner_spec(tmp_path))
    group.wait_until(lambda: runner.snapshot is not None)
    group.stop()
    weights = {name: tensor.clone() for name, tensor in runner.agent.model.state_dict().items()}
    moved = Agent(replace(runner_spec(tmp_path), pose=MOVED_POSE, pose_version=1))
    restore_agent(moved)

    assert moved.trainer.step == 0
    assert moved.published is moved.basis is None
    assert all(torch.equal(tensor, weights[name]) for name, tensor in moved.model.state_dict().items())
    restarted = group.start(replace(runner_spec(tmp_path), pose=MOVED_POSE, pose_version=1), incarnation=2)
    group.wait_until(lambda: restarted.snapshot is not None)
    assert restarted.snapshot.pose_version == 1


def test_requests_of_many_threads_while_the_runner_stops_all_end(group, tmp_path):
    runner = group.start(runner_spec(tmp_path))
    group.wait_until(lambda: step(runner) > 0)
    futures = []

    def submit_many():
        for _ in range(200):
            futures.append(runner.submit(lambda agent: agent.trainer.step))

    threads = [threading.Thread(target=submit_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    group.stop()
    for thread in threads:
        thread.join()
    for future in futures:
        with contextlib.suppress(AgentStoppedError):
            future.result(10)

    assert len(futures) == 800
    assert runner.failure is None


def test_a_custom_model_that_breaks_the_contract_is_refused_before_training(group, tmp_path, monkeypatch):
    (tmp_path / "leaky_models.py").write_text(
        "from agents.models.jepa import Jepa\n\n\n"
        "class Leaky(Jepa):\n"
        "    def encode(self, frames):\n"
        "        latents = super().encode(frames)\n"
        "        return latents - latents.mean(0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    closed = []
    monkeypatch.setattr(Agent, "close", lambda agent: closed.append(agent.spec.name))
    runner = group.start(runner_spec(tmp_path / "agent", kind="leaky_models:Leaky"))
    group.threads["agent-0"].join(timeout=60)

    assert runner.failure.type == "agents.models.checker.WorldModelError"
    assert "in eval() use no statistics of the batch" in runner.failure.message
    assert runner.failure.phase == "checking"
    assert runner.agent is None
    assert closed == ["agent-0"]


def test_settings_that_leave_nothing_against_collapse_are_remarked_before_training(group, tmp_path, caplog):
    spec = runner_spec(tmp_path, online=False)
    unguarded = replace(spec, model=replace(spec.model, objective="sigreg", sigreg=0.0))
    runner = group.start(unguarded)
    group.wait_until(lambda: runner.agent is not None)

    assert "agent-0: model.sigreg=0 leaves no term against collapse" in caplog.text


@pytest.mark.parametrize("every", [1, 4])  # 1: the rest after the last step before a measurement of drift
def test_an_agent_within_its_drift_rests_until_it_is_moved(every, group, tmp_path):
    spec = runner_spec(tmp_path)
    lazy = replace(spec.training, online_duty=1e-3, drift_check_every=every)
    negotiation = replace(spec.negotiation, max_drift=1.0)
    runner = group.start(replace(spec, training=lazy, negotiation=negotiation))
    group.wait_until(lambda: runner.agent is not None and runner.agent.phase == "resting")
    rested_at = step(runner)
    runner.move(MOVED_POSE, 1).result(30)  # in the middle of a rest, which would take seconds
    group.wait_until(lambda: runner.snapshot is not None)

    assert runner.failure is None
    assert rested_at >= 8 + every  # the schedule, and the steps until drift is measured
    assert runner.agent.spec.pose == MOVED_POSE


def test_an_agent_does_not_rest_before_its_buffer_holds_the_scene_as_it_is(group, tmp_path):
    spec = runner_spec(tmp_path)
    negotiation = replace(spec.negotiation, max_drift=1.0)
    ahead = (*spec.events, BodyEvent(10**7, "agent-9", MOVED_POSE))
    runner = group.start(replace(spec, negotiation=negotiation, events=ahead))
    group.wait_until(lambda: step(runner) >= 24)

    assert runner.agent.phase != "resting"
    assert not runner.agent.has_seen_all_bodies


@pytest.mark.parametrize("online", [False, True])
def test_an_agent_paused_in_its_search_for_further_encoders_completes_it_before_it_publishes(
    online, group, tmp_path, monkeypatch
):
    find, stopped = further_encoders.find_stages, threading.Event()

    def find_stages(*arguments):
        if not stopped.is_set():
            stopped.set()
            return None  # as it returns when it is asked to stop
        return find(*arguments)

    monkeypatch.setattr(further_encoders, "find_stages", find_stages)
    runner = group.start(runner_spec(tmp_path, online=online))
    group.wait_until(lambda: runner.snapshot is not None)

    assert stopped.is_set()
    assert (runner.snapshot.progress.step, runner.agent.has_learned) == (8, True)


def test_a_paused_agent_takes_no_step_replies_and_trains_on_when_resumed(group, tmp_path):
    runner = group.start(runner_spec(tmp_path, paused=True))
    group.wait_until(lambda: runner.agent is not None and runner.agent.phase == "paused")
    assert step(runner) == 0

    runner.pause(False).result(30)
    group.wait_until(lambda: runner.snapshot is not None)
    runner.pause(True).result(30)
    group.wait_until(lambda: runner.agent.phase == "paused")
    paused_at = step(runner)
    assert runner.submit(lambda agent: agent.encode_core([1, 2])).result(30).shape[0] == 2
    assert (step(runner), runner.agent.phase) == (paused_at, "paused")

    runner.pause(False).result(30)
    group.wait_until(lambda: step(runner) > paused_at)
    group.stop()
    losses = runner.agent.trainer.losses
    assert losses[:40] == uninterrupted_losses(tmp_path / "alone")[: len(losses)]

import math
import shutil
from dataclasses import replace

import pytest
import torch

from agents.agent import Agent
from agents.drift import measure_drift
from agents.restoring import restore_agent
from agents.snapshot import PublishedModel
from agents.training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from env.recording import ReplayBuffer
from tests.support.swarm import tiny_spec

SHORT = {"steps": 4, "segments": 8, "replay_ticks": 128, "core_eval_ticks": 64}


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    agent = Agent(tiny_spec(0, tmp_path_factory.mktemp("snapshot"), **SHORT))
    agent.train()
    agent.publish()
    return agent


@pytest.fixture
def path(agent, tmp_path):
    return shutil.copy(agent.files.published_path, tmp_path / "published.safetensors")


def load(agent, path, **owner):
    return PublishedModel.load(path, agent.owner() | owner, agent.build_model)


def test_a_published_model_is_read_back_unchanged(agent, path):
    found, known = load(agent, path), agent.published

    assert found.snapshot.peer_info == known.snapshot.peer_info
    assert found.snapshot.progress == replace(known.snapshot.progress, loss=found.snapshot.progress.loss)
    assert (found.snapshot.losses, found.snapshot.pose_version) == (known.snapshot.losses, 0)
    assert found.snapshot.effective_rank == known.snapshot.effective_rank
    for name in ("anchors", "heldout"):
        loaded, saved = getattr(found.snapshot.pools, name), getattr(known.snapshot.pools, name)
        assert loaded.ids == saved.ids
        assert torch.equal(loaded.vectors, saved.vectors)
    assert torch.equal(
        found.basis.core(agent.encode_ticks(range(50), found.model)),
        known.basis.core(agent.encode_ticks(range(50), known.model)),
    )
    assert not found.model.training


def test_a_nan_loss_is_read_back_as_nan(agent, tmp_path):
    snapshot = replace(
        agent.published.snapshot, progress=replace(agent.published.snapshot.progress, loss=math.nan)
    )
    data = replace(agent.published, snapshot=snapshot).encode(agent.owner())
    (tmp_path / "p.safetensors").write_bytes(data)

    assert math.isnan(load(agent, tmp_path / "p.safetensors").snapshot.progress.loss)


def test_the_published_model_does_not_change_during_online_training(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, **SHORT))
    agent.train()
    agent.publish()
    before = agent.encode_core([5])
    agent.train(until=8)

    assert torch.equal(agent.encode_core([5]), before)
    assert not torch.equal(agent.encode_ticks([5]), agent.encode_ticks([5], agent.published.model))
    assert measure_drift(agent) > 0
    agent.publish()
    assert measure_drift(agent) < 0.01
    assert not torch.equal(agent.encode_core([5]), before)


@pytest.mark.parametrize(
    ("owner", "sentence"),
    [({"name": "agent-1"}, "of another name"), ({"scene": "0" * 16}, "of another scene"),
     ({"kind": "other"}, "of another kind")],
)  # fmt: skip
def test_a_published_model_of_another_agent_is_refused(agent, path, owner, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        load(agent, path, **owner)


def test_a_published_model_of_an_earlier_pose_version_is_ignored(agent, tmp_path):
    folder = tmp_path / "agent-0"
    shutil.copytree(agent.spec.folder, folder)
    resumed = Agent(replace(agent.spec, folder=str(folder), pose_version=1))
    restore_agent(resumed)
    assert resumed.published is None
    tensors, facts, _ = read_checkpoint(resumed.files.checkpoint_path)
    write_checkpoint(
        resumed.files.checkpoint_path, tensors, facts | {"pose_version": 1}
    )  # trained on its new view, not yet published
    restore_agent(resumed)

    assert resumed.published is None
    assert resumed.basis is not None


DAMAGE = {
    "truncated": lambda data: data[:200],
    "empty": lambda _: b"",
    "another magic number": lambda data: b"PNG" + data[3:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_refused_with_a_remedy(agent, path, damage):
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(CheckpointError, match="restore it from a copy, or delete it and train again"):
        load(agent, path)


@pytest.mark.parametrize(
    "missing", ["basis.mean", "anchors.ticks", "heldout.vectors", "peer_info", "progress", "pose_version"]
)
def test_a_file_that_misses_an_entry_is_refused_by_its_name(agent, path, missing):
    tensors, facts, _ = read_checkpoint(path)
    tensors.pop(missing, None)
    facts.pop(missing, None)
    write_checkpoint(path, tensors, facts)

    with pytest.raises(CheckpointError, match=rf"is damaged \(.*{missing}.*\): restore it from a copy"):
        load(agent, path)


def test_a_file_of_another_model_size_is_refused(agent, path):
    other = replace(agent.spec, model=replace(agent.spec.model, dim=3))

    with pytest.raises(CheckpointError, match="trained with other model settings"):
        PublishedModel.load(path, agent.owner(), Agent(other).build_model)


def test_a_damaged_published_model_is_published_again_without_losing_training(agent, tmp_path):
    folder = shutil.copytree(agent.spec.folder, tmp_path / "copy")
    reloaded = Agent(replace(agent.spec, folder=str(folder)))
    reloaded.files.published_path.write_bytes(reloaded.files.published_path.read_bytes()[:-9])
    restore_agent(reloaded)

    assert reloaded.published is None
    assert reloaded.trainer.step == agent.trainer.step
    reloaded.publish()
    assert reloaded.published is not None
    reloaded.close()


def test_the_published_ranges_are_the_ticks_that_training_read_and_that_maps_are_fitted_and_scored_on(
    tmp_path, monkeypatch
):
    drawn, draw = [], ReplayBuffer.draw

    def noting(*arguments):
        drawn.append(draw(*arguments))
        return drawn[-1]

    monkeypatch.setattr(ReplayBuffer, "draw", noting)
    agent = Agent(tiny_spec(0, tmp_path, **SHORT))
    agent.train()
    agent.publish()
    agent.train(until=12)
    snapshot = agent.publish()

    trained = {int(tick) for ticks in drawn for tick in ticks.flatten()}
    fitted, scored = snapshot.pools.anchors.ids, snapshot.pools.heldout.ids
    assert trained <= set(snapshot.trained_ticks)
    assert max(trained) >= snapshot.trained_ticks.stop - agent.trainer.buffer_ticks
    assert (tuple(agent.ticks.fit), tuple(agent.ticks.heldout)) == (fitted, scored)
    assert not trained & {*fitted, *scored}
    assert not set(fitted) & set(scored)
    reread = PublishedModel.load(agent.files.published_path, agent.owner(), agent.build_model)
    assert reread.snapshot.trained_ticks == snapshot.trained_ticks

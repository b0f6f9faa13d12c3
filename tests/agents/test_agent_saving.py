import math
import shutil
from dataclasses import replace

import pytest
import torch

from agents.agent import Agent
from agents.common import files
from agents.restoring import restore_agent
from agents.snapshot import PublishedModel
from agents.training.checkpoint import CheckpointError, read_checkpoint
from agents.training.trainer import TrainingError
from tests.support.runners import runner_spec

DAMAGE = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "one byte changed": lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An agent that has published and then trained on."""
    agent = Agent(runner_spec(tmp_path_factory.mktemp("whole")))
    agent.train()
    agent.publish()
    agent.train(until=10)
    return agent


@pytest.fixture
def copied(whole, tmp_path):
    """A new agent on a copy of its folder."""
    folder = tmp_path / "agent-0"
    shutil.copytree(whole.spec.folder, folder)
    return Agent(replace(whole.spec, folder=str(folder)))


def weights(model):
    return torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])


def damage(path, harm):
    path.write_bytes(harm(path.read_bytes()))


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_replaced_by_the_published_model_that_is_whole(whole, copied, harm):
    damage(copied.files.checkpoint_path, harm)

    remark = restore_agent(copied)

    assert "checkpoint.safetensors is damaged" in remark
    assert "continues with a new optimizer from the model of step 8 in published.safetensors" in remark
    assert torch.equal(weights(copied.model), weights(whole.published.model))
    assert copied.trainer.step == 8
    assert copied.files.checkpoint == whole.published.snapshot.peer_info.checkpoint
    assert copied.published is not None
    assert copied.progress().loss_curve == whole.published.snapshot.progress.loss_curve
    copied.train(until=9)
    assert read_checkpoint(copied.files.checkpoint_path)[1]["step"] == 9
    assert [step for step, _ in copied.progress().loss_curve] == list(range(1, 10))


def test_a_frozen_encoder_whose_checkpoint_is_damaged_is_not_published_again(tmp_path):
    spec = runner_spec(tmp_path, kind="frozen:tests.support.own_source:Cells")
    first = Agent(spec)
    first.train()
    first.publish()
    damage(first.files.checkpoint_path, DAMAGE["one byte changed"])
    again = Agent(spec)

    assert "checkpoint.safetensors is damaged" in restore_agent(again)
    assert again.has_learned
    assert again.published.snapshot.peer_info == first.published.snapshot.peer_info
    assert again.progress().step == first.progress().step == 0
    assert again.trainer.steps_replaced_by_distillation == spec.training.steps


def test_after_a_camera_move_only_the_weights_of_the_published_model_replace_a_checkpoint(whole, copied):
    damage(copied.files.checkpoint_path, DAMAGE["truncated"])
    moved = Agent(replace(copied.spec, pose_version=1))

    assert restore_agent(moved)

    assert (moved.trainer.step, moved.published, moved.files.checkpoint) == (0, None, "")
    assert torch.equal(weights(moved.model), weights(whole.published.model))


def test_a_damaged_published_model_is_published_again_from_the_checkpoint(whole, copied):
    damage(copied.files.published_path, DAMAGE["truncated"])

    remark = restore_agent(copied)

    assert "published.safetensors is damaged" in remark
    assert "published again from its checkpoint" in remark
    assert (copied.trainer.step, copied.published) == (10, None)
    copied.publish()
    PublishedModel.load(copied.files.published_path, copied.owner(), copied.build_model)


def test_an_agent_whose_files_are_both_damaged_says_what_can_be_done(copied):
    damage(copied.files.checkpoint_path, DAMAGE["truncated"])
    damage(copied.files.published_path, DAMAGE["truncated"])

    with pytest.raises(CheckpointError, match="restore it from a copy, or delete it and train again"):
        restore_agent(copied)


def test_weights_that_are_not_finite_never_replace_a_checkpoint(copied):
    restore_agent(copied)
    before = copied.files.checkpoint_path.read_bytes()
    next(copied.model.parameters()).data.fill_(math.nan)

    with pytest.raises(
        TrainingError, match=r"weights of model\..* are not finite after step 10.*learning_rate"
    ):
        copied.files.save_checkpoint()

    assert copied.files.checkpoint_path.read_bytes() == before


def test_an_agent_whose_folder_cannot_be_written_goes_on_and_writes_once_it_can(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_SECONDS", 0.0)
    blocked = tmp_path / "agent-0"
    blocked.write_text("a file where the folder should be")  # as a full disk or a read-only folder
    agent = Agent(runner_spec(tmp_path))

    assert agent.train()
    agent.publish()
    unsaved = {path.name: each for path, each in agent.files.unsaved.items()}
    assert unsaved.keys() == {"checkpoint.safetensors", "published.safetensors"}
    assert {each.reason for each in unsaved.values()} <= {"Not a directory", "File exists"}
    assert agent.files.checkpoint
    assert agent.files.saved_at == 0
    blocked.unlink()
    agent.train(until=9)

    assert not agent.files.unsaved
    assert read_checkpoint(agent.files.checkpoint_path)[1]["step"] == 9
    found = PublishedModel.load(agent.files.published_path, agent.owner(), agent.build_model)
    assert found.snapshot.peer_info == agent.published.snapshot.peer_info


def test_what_could_not_be_written_is_tried_again_at_most_every_few_seconds(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(files.time, "monotonic", lambda: now[0])
    retried = files.RetriedFiles()
    path = tmp_path / "file" / "data"
    path.parent.write_text("")

    assert not retried.write(path, b"1")
    assert retried.due() == []
    now[0] += files.RETRY_SECONDS
    assert retried.due() == [path]
    path.parent.unlink()
    assert retried.write(path, b"2")
    assert retried.due() == []
    assert path.read_bytes() == b"2"

import math
import shutil
from dataclasses import replace

import pytest
import torch

from agents.agent import Agent
from agents.snapshot import PublishedModel
from agents.training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from tests.support.swarm import tiny_spec

SHORT = {"steps": 4, "segments": 8, "replay_ticks": 128, "core_eval_ticks": 64}


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    agent = Agent(tiny_spec(0, tmp_path_factory.mktemp("memory"), **SHORT))
    agent.train()
    agent.publish()
    return agent


@pytest.fixture
def path(life, tmp_path):
    return shutil.copy(life.published_path, tmp_path / "published.safetensors")


def load(life, path, **owner):
    return PublishedModel.load(path, life.owner() | owner, life.build_model)


def test_what_was_published_is_read_back_as_it_was(life, path):
    found, known = load(life, path), life.published

    assert found.snapshot.peer_info == known.snapshot.peer_info
    assert found.snapshot.progress == replace(known.snapshot.progress, loss=found.snapshot.progress.loss)
    assert (found.snapshot.losses, found.snapshot.pose_version) == (known.snapshot.losses, 0)
    assert found.snapshot.effective_rank == known.snapshot.effective_rank
    for mine, theirs in (("anchors", "anchors"), ("heldout", "heldout")):
        ours, others = getattr(found.snapshot.pools, mine), getattr(known.snapshot.pools, theirs)
        assert ours.ids == others.ids
        assert torch.equal(ours.vectors, others.vectors)
    assert torch.equal(
        found.basis.core(life.encode_ticks(range(50), found.model)),
        known.basis.core(life.encode_ticks(range(50), known.model)),
    )
    assert not found.model.training


def test_what_is_no_number_comes_back_as_none_of_them(life, tmp_path):
    memory = replace(
        life.published.snapshot, progress=replace(life.published.snapshot.progress, loss=math.nan)
    )
    replace(life.published, snapshot=memory).save(tmp_path / "p.safetensors", life.owner())

    assert math.isnan(load(life, tmp_path / "p.safetensors").snapshot.progress.loss)


def test_the_published_model_stays_as_it_is_while_its_agent_learns_on(tmp_path):
    agent = Agent(tiny_spec(0, tmp_path, **SHORT))
    agent.train()
    agent.publish()
    before = agent.encode_core([5])
    agent.train(until=8)

    assert torch.equal(agent.encode_core([5]), before)
    assert not torch.equal(agent.encode_ticks([5]), agent.encode_ticks([5], agent.published.model))
    assert agent.measure_drift() > 0
    agent.publish()
    assert agent.measure_drift() < 0.01
    assert not torch.equal(agent.encode_core([5]), before)


@pytest.mark.parametrize(
    ("owner", "sentence"),
    [({"name": "agent-1"}, "of another name"), ({"scene": "0" * 16}, "of another scene"),
     ({"kind": "other"}, "of another kind")],
)  # fmt: skip
def test_what_somebody_else_published_is_refused(life, path, owner, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        load(life, path, **owner)


def test_what_was_published_in_a_former_era_is_not_shown(life, tmp_path):
    folder = tmp_path / "agent-0"
    shutil.copytree(life.spec.folder, folder)
    late = Agent(replace(life.spec, folder=str(folder), pose_version=1))
    late.load()
    assert late.published is None
    tensors, facts, _ = read_checkpoint(late.path)
    write_checkpoint(
        late.path, tensors, facts | {"pose_version": 1}
    )  # it had learned its new view, not yet published
    late.load()

    assert late.published is None
    assert late.basis is not None


HARM = {
    "truncated": lambda data: data[:200],
    "empty": lambda _: b"",
    "something else": lambda data: b"PNG" + data[3:],
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_damaged_file_is_refused_with_a_remedy(life, path, harm):
    path.write_bytes(harm(path.read_bytes()))

    with pytest.raises(CheckpointError, match="delete it and train again"):
        load(life, path)


@pytest.mark.parametrize(
    "gone", ["basis.mean", "anchors.ticks", "heldout.vectors", "peer_info", "progress", "pose_version"]
)
def test_a_file_in_which_something_is_missing_is_refused_by_name(life, path, gone):
    tensors, facts, _ = read_checkpoint(path)
    tensors.pop(gone, None)
    facts.pop(gone, None)
    write_checkpoint(path, tensors, facts)

    with pytest.raises(CheckpointError, match=rf"is damaged \(.*{gone}.*\): delete it and train again"):
        load(life, path)


def test_a_file_of_other_sizes_is_refused(life, path):
    other = replace(life.spec, model=replace(life.spec.model, dim=3))

    with pytest.raises(CheckpointError, match="trained with other model settings"):
        PublishedModel.load(path, life.owner(), Agent(other).build_model)


def test_a_damaged_publication_is_made_anew_and_costs_nothing_that_was_learned(life, tmp_path):
    folder = shutil.copytree(life.spec.folder, tmp_path / "copy")
    again = Agent(replace(life.spec, folder=str(folder)))
    again.published_path.write_bytes(again.published_path.read_bytes()[:-9])
    again.load()

    assert again.published is None
    assert again.trainer.step == life.trainer.step
    again.publish()
    assert again.published is not None
    again.close()

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from agents.agent import Agent
from agents.restoring import restore_agent
from agents.training.checkpoint import (
    CheckpointError,
    DamagedCheckpointError,
    content_digest,
    load_optimizer,
    optimizer_tensors,
    read_checkpoint,
    write_checkpoint,
)
from tests.support.swarm import tiny_spec

TENSORS = {
    "model.weight": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
    "model.half": torch.ones(2, dtype=torch.bfloat16),
    "basis.mean": torch.tensor([0.1, -0.2], dtype=torch.float64),
    "step": torch.tensor(7),
    "empty": torch.zeros(0, 3),
}
FACTS = {"name": "agent-0", "step": 7, "losses": [0.1 + 0.2, 1e-300], "core_dim": None}


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "deep" / "checkpoint.safetensors"
    write_checkpoint(target, TENSORS, FACTS)
    return target


def test_tensors_and_facts_come_back_bit_for_bit(path):
    tensors, facts, _ = read_checkpoint(path)
    assert facts == FACTS
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_hash_is_that_of_the_file_and_depends_on_its_content_alone(path, tmp_path):
    name = read_checkpoint(path)[2]
    assert name == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert write_checkpoint(tmp_path / "same", TENSORS, dict(reversed(FACTS.items()))) == name
    assert write_checkpoint(tmp_path / "other", TENSORS, {**FACTS, "step": 8}) != name


def test_a_checkpoint_is_a_json_header_and_tensors_and_no_code(path):
    """Parsed without the library: every byte is accounted for."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    entry = json.loads(header.pop("__metadata__")["social_jepa"])
    assert entry == {"format": 4, "facts": FACTS, "content": content_digest(TENSORS, FACTS)}
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert spans[-1][1] == len(data) - 8 - length
    start, end = header["model.weight"]["data_offsets"]
    found = np.frombuffer(data[8 + length :][start:end], dtype="<f4").reshape(header["model.weight"]["shape"])
    assert (found == TENSORS["model.weight"].numpy()).all()


def test_every_truncation_is_refused_with_a_remedy(path):
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="damaged or truncated"):
            read_checkpoint(path)


def test_every_flipped_byte_of_the_header_is_read_or_refused(path):
    data = bytearray(path.read_bytes())
    for offset in range(8 + int.from_bytes(data[:8], "little")):
        for flip in (0x01, 0x80):
            data[offset] ^= flip
            path.write_bytes(data)
            try:
                read_checkpoint(path)
            except CheckpointError as error:
                assert str(path) in str(error)  # noqa: PT017 - most flips are refused, a few change a name
            data[offset] ^= flip


def test_a_missing_checkpoint_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint: train first"):
        read_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"social_jepa": '{"format": 1}'}, "1"),
        ({"social_jepa": '{"format": 5}'}, "5"),
        ({"by": "me"}, "none"),
        (None, "none"),
    ],
)
def test_a_file_of_another_format_or_program_is_refused_with_both_versions(tmp_path, metadata, found):
    save_file({"model.weight": torch.ones(2)}, tmp_path / "other", metadata)
    with pytest.raises(
        CheckpointError, match=f"has checkpoint format {found}, this version .* reads format 4"
    ):
        read_checkpoint(tmp_path / "other")


def test_an_interruption_between_writing_and_renaming_leaves_the_old_checkpoint(path, monkeypatch):
    before = read_checkpoint(path)[1:]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(path, TENSORS, {**FACTS, "step": 8})
    assert read_checkpoint(path)[1:] == before

    (path.parent / ".checkpoint.safetensors.999.tmp").write_bytes(b"half")
    assert read_checkpoint(path)[1:] == before
    write_checkpoint(path, TENSORS, {**FACTS, "step": 8})
    assert read_checkpoint(path)[1]["step"] == 8


@pytest.mark.parametrize("fused", [False, True])
def test_a_restored_optimizer_has_moments_with_the_strides_of_the_weights(fused):
    """A fused step reads both side by side in memory and would pair the wrong numbers."""

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2)).to(
            memory_format=torch.channels_last
        )
        return model, torch.optim.AdamW(model.parameters(), fused=fused)

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.arange(96.0).reshape(2, 3, 4, 4).sin()).square().sum().backward()
        optimizer.step()

    model, optimizer = build()
    step(model, optimizer)
    saved = {name: tensor.clone().contiguous() for name, tensor in optimizer_tensors(optimizer).items()}
    copy, restored = build()
    copy.load_state_dict(model.state_dict())
    load_optimizer(restored, saved)
    for _ in range(3):
        step(model, optimizer)
        step(copy, restored)

    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copy.parameters(), strict=True))
    for weight in copy.parameters():
        assert restored.state[weight]["exp_avg"].stride() == weight.stride()


def test_a_checkpoint_of_another_agent_scene_or_model_size_is_refused(tmp_path):
    spec = tiny_spec(0, tmp_path, steps=1, segments=4, replay_ticks=16)
    agent = Agent(spec)
    agent.train()
    scene, model = replace(spec.scene, object_range=3.0), replace(spec.model, dim=5)
    for changed, message in [
        (replace(spec, name="agent-1"), "another name"),
        (replace(spec, scene=scene), "another scene"),
        (replace(spec, seed=1), "another scene"),
        (replace(spec, model=model), "other model settings"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            restore_agent(Agent(changed))
    restore_agent(Agent(spec))


def test_a_changed_weight_is_noticed(path):
    data = bytearray(path.read_bytes())
    for offset in range(8 + int.from_bytes(data[:8], "little"), len(data)):
        data[offset] ^= 0x10
        path.write_bytes(data)
        with pytest.raises(DamagedCheckpointError, match="its content has changed since it was written"):
            read_checkpoint(path)
        data[offset] ^= 0x10


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_finite_number_is_refused_by_its_name(path, value):
    tensors = {**TENSORS, "model.weight": TENSORS["model.weight"].clone()}
    tensors["model.weight"][1, 1] = value
    write_checkpoint(path, tensors, FACTS)

    with pytest.raises(
        DamagedCheckpointError, match=r"has values in model\.weight that are not finite numbers"
    ):
        read_checkpoint(path)


def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(tmp_path):
    (tmp_path / "folder").mkdir()

    with pytest.raises(
        CheckpointError, match=r"cannot be read \(Is a directory\): check its disk"
    ) as refusal:
        read_checkpoint(tmp_path / "folder")

    assert not isinstance(refusal.value, DamagedCheckpointError)
    assert vars(pickle.loads(pickle.dumps(refusal.value))) == vars(refusal.value)


def test_tensors_outlive_their_file(path):
    tensors, _, _ = read_checkpoint(path)
    path.write_bytes(b"")  # a mapped file would end the process here

    assert torch.equal(tensors["model.weight"], TENSORS["model.weight"])

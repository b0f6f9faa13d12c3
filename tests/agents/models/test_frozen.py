"""A pretrained encoder as a world model: what is kept of it, and every breach of what it must do."""

import re
import sys

import pytest
import torch
from torch import nn

from agents.common.config_error import ConfigError
from agents.models.checker import WorldModelError, check_frozen_encoder
from agents.models.frozen import FrozenEncoder, load_frozen
from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig, check_kind, module_of
from tests.support.own_source import Cells

KIND = "frozen:tests.support.own_source:Cells"


@pytest.fixture
def frames():
    return torch.randint(
        0, 256, (300, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_the_leading_principal_components_are_kept(frames):
    model = build_world_model(KIND, ModelConfig(dim=5), 32, (0,))
    model.calibrate(frames)
    latents, features = model.encode(frames), Cells()(frames)

    assert model.dim == latents.shape[1] == 5
    exact = torch.linalg.svdvals(features - features.mean(0))[:5]
    assert torch.allclose(latents.square().sum(0).sqrt(), exact, rtol=1e-4)
    assert latents.mean(0).abs().max() < 1e-5


def test_a_narrow_encoder_keeps_all_of_its_dimensions(frames):
    model = FrozenEncoder(nn.Sequential(Cells(), nn.Linear(192, 3)), 32, 16)
    model.calibrate(frames[:2])  # fewer frames than dimensions

    assert model.dim == 3
    assert torch.allclose(model.projection.T @ model.projection, torch.eye(3), atol=1e-5)


def test_nothing_of_it_trains(frames):
    model = FrozenEncoder(nn.Sequential(Cells(), nn.BatchNorm1d(192)), 32, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    model.encode(frames)

    assert not model.trains
    assert not any(weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with pytest.raises(RuntimeError, match="does not train"):
        model.loss(frames[None], torch.Generator())


HEAD = """
import numpy as np
import torch
from torch import nn

class Base(nn.Module):
    def forward(self, frames):
        return frames.float().mean(dim=(1, 2))

class Case(Base):
"""
FORWARD = HEAD + "    def forward(self, frames):\n        "
BREACHES = {
    HEAD.replace("Case(Base)", "Case") + "    pass": "Case is not a torch.nn.Module; derive it",
    FORWARD + "return frames.float().mean(dim=1)": r"returned \(64, 32, 3\) for 64 frames; return one tensor",
    FORWARD + "return super().forward(frames).numpy()": "returned ndarray for 64 frames",
    FORWARD + "return super().forward(frames).long()": "returned torch.int64; return floating-point",
    FORWARD + "return super().forward(frames) * 0": "gives all frames one latent",
    FORWARD + "return super().forward(frames) + torch.rand(1)": "equal frames different latents",
    FORWARD + "found = super().forward(frames); return found - found.mean(0)": "depends on the other frames",
    FORWARD + "frames += 1; return super().forward(frames)": "overwrites its frames",
    FORWARD + "return self.net(frames)": r"failed \(AttributeError: .*\); fix it there",
}


@pytest.mark.parametrize("code", BREACHES)
def test_a_breach_is_found_and_named_with_its_remedy(code, tmp_path, monkeypatch):
    (tmp_path / "frozen_case.py").write_text(code + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(WorldModelError, match=BREACHES[code]):
            check_frozen_encoder(load_frozen("frozen:frozen_case:Case")(), 32)
    finally:
        sys.modules.pop("frozen_case", None)


def test_an_encoder_that_meets_the_contract_passes():
    check_frozen_encoder(Cells(), 32)


def test_kinds_that_name_no_encoder_are_refused():
    with pytest.raises(ConfigError, match=re.escape("must read frozen:package.module:Class")):
        check_kind("frozen:Cells")
    with pytest.raises(ValueError, match=r"kind='frozen:tests.support.own_source:Cell': .* has no Cell"):
        load_frozen("frozen:tests.support.own_source:Cell")
    with pytest.raises(ValueError, match="names a float"):
        load_frozen("frozen:tests.support.own_source:RATE")
    with pytest.raises(ValueError, match=r"returned Generator: return a torch"):
        build_world_model("frozen:torch:Generator", ModelConfig(), 32, (0,))


def test_the_module_of_a_kind_is_that_of_its_class():
    assert [module_of(kind) for kind in (KIND, "a.b:C", "jepa")] == ["tests.support.own_source", "a.b", ""]

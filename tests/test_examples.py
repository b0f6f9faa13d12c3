"""What the README shows of a user's own code meets the contract as it stands."""

import sys
from pathlib import Path

import pytest

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model, load_kind
from agents.models.settings import ModelConfig

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def own(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield load_kind("custom_world_model:Coarse")
    sys.modules.pop("custom_world_model", None)


@pytest.mark.parametrize("frame_size", [32, 64])
def test_the_world_model_of_the_readme_meets_the_contract(own, frame_size):
    config = ModelConfig(dim=4)

    def build(seed=1):
        return build_world_model("custom_world_model:Coarse", config, frame_size, (seed,))

    check_world_model(build(), frame_size, 4, lambda: build(2))


def test_it_is_as_short_as_the_readme_says():
    lines = (EXAMPLES / "custom_world_model.py").read_text().splitlines()

    assert sum(bool(line.strip()) for line in lines) <= 32


def test_the_readme_shows_it_whole():
    readme = (EXAMPLES.parent / "README.md").read_text()

    assert f"```python\n{(EXAMPLES / 'custom_world_model.py').read_text()}```" in readme

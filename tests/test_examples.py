"""The custom world model that the documentation quotes meets the contract."""

import sys
from pathlib import Path

import pytest

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model, load_kind
from agents.models.settings import ModelConfig

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
KIND = "custom_world_model:MlpWorldModel"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield load_kind(KIND)
    sys.modules.pop("custom_world_model", None)


@pytest.mark.parametrize("frame_size", [32, 64])
def test_the_example_meets_the_contract_of_world_models(example, frame_size):
    config = ModelConfig(dim=4)

    def build(seed=1):
        return build_world_model(KIND, config, frame_size, (seed,))

    check_world_model(build(), frame_size, 4, lambda: build(2))


def test_the_example_has_at_most_32_lines_of_code():
    lines = (EXAMPLES / "custom_world_model.py").read_text().splitlines()

    assert sum(bool(line.strip()) for line in lines) <= 32


def test_the_documentation_quotes_the_example_verbatim():
    page = (EXAMPLES.parent / "docs" / "how_to" / "model.md").read_text()

    assert f"```python\n{(EXAMPLES / 'custom_world_model.py').read_text()}```" in page

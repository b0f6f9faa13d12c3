import sys

import pytest
import torch

from agents.models.jepa import Jepa
from agents.models.registry import build_world_model, load_kind
from agents.models.settings import KINDS, ModelConfig
from agents.models.world_model import WorldModel

CONFIG = ModelConfig(dim=4, width=4, hidden=16, precision="fp32")

OWN = """
from agents.models.jepa import Jepa
from agents.models.world_model import WorldModel

class Mine(Jepa):
    pass

class Half(WorldModel):
    def encode(self, frames):
        return frames

def factory(config, frame_size):
    return Mine(config, frame_size)

value = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of custom modules on the path; what tests import from it is removed from sys.modules."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_models").mkdir()
    (tmp_path / "my_models" / "own.py").write_text(OWN)
    (tmp_path / "my_models" / "broken.py").write_text("1 / 0")
    (tmp_path / "my_models" / "needy.py").write_text("import a_library_that_does_not_exist")
    (tmp_path / "my_models" / "script.py").write_text("raise SystemExit(3)")
    (tmp_path / "my_models" / "typo.py").write_text("class Mine(:")
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("my_models"):
            del sys.modules[name]


def test_built_in_kinds_load_the_classes_that_they_name():
    assert load_kind("jepa") is load_kind("agents.models.jepa:Jepa") is Jepa
    assert all(issubclass(load_kind(kind), WorldModel) for kind in KINDS)


def test_a_custom_class_is_loaded_and_built_from_the_seed_alone(folder):
    kind = "my_models.own:Mine"
    first, same = (build_world_model(kind, CONFIG, 32, (3, 1)) for _ in range(2))

    assert type(first).__name__ == "Mine"
    assert load_kind(kind) is type(first)
    assert all(map(torch.equal, first.parameters(), same.parameters()))


HOSTILE = {
    "": "choose one of",
    "jeppa": "did you mean 'jepa'",
    ":": "must read package.module:Class",
    ":Jepa": "must read package.module:Class",
    "agents.models.world_model:": "must read package.module:Class",
    "agents.models.jepa:Jepa:Jepa": "must read package.module:Class",
    "agents..world_model:Jepa": "must read package.module:Class",
    ".world_model:Jepa": "must read package.module:Class",
    "agents/world_model:Jepa": "must read package.module:Class",
    "agents.models.jepa:Jepa()": "must read package.module:Class",
    "agents.models.world_model: Jepa": "must read package.module:Class",
    "agents.models.world_model:class": "must read package.module:Class",
    "agents.models.jepa:Jepa\n": "must read package.module:Class",
    "C:\\models\\mine.py": "must read package.module:Class",
    "agents.models.world_model:Jeppa": "has no Jeppa",
    "agents.models.world_model:torch": "no world model",
    "agents.models.jepa:ResidualPredictor": "no world model",
    "agents.models.world_model:__doc__": "no world model",
    "os:system": "no world model",
    "agents.models.world_model:WorldModel": "does not define calibrate, encode, loss, predict",
    "my_models.own:Half": "does not define calibrate, loss, predict",
    "my_models.own:factory": "no world model",
    "my_models.own:value": "no world model",
    "my_models.other:Mine": "no module my_models.other; install it",
    "no_such_package_anywhere.own:Mine": "no module no_such_package_anywhere; install it",
    "my_models.own.deeper:Mine": r"importing my_models.own.deeper failed|no module",
    "my_models.broken:Mine": r"failed \(ZeroDivisionError",
    "my_models.needy:Mine": r"failed \(ModuleNotFoundError: No module named 'a_library_that_does_not_exist'",
    "my_models.script:Mine": r"failed \(SystemExit: 3",
    "my_models.typo:Mine": r"failed \(SyntaxError",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_kind_that_names_no_world_model_is_refused_with_a_remedy(folder, kind):
    with pytest.raises(ValueError, match=HOSTILE[kind]) as caught:
        load_kind(kind)

    assert repr(kind) in str(caught.value)


@pytest.mark.parametrize("kind", ["os.path:remove()", "my_models..own:Mine", "../my_models/own:Mine"])
def test_nothing_is_imported_for_a_malformed_kind(folder, kind):
    before = set(sys.modules)
    with pytest.raises(ValueError, match="must read"):
        load_kind(kind)
    assert set(sys.modules) == before

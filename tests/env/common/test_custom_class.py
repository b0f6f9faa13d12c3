import sys

import pytest

from env.common.custom_class import load_class, place_of
from env.dynamics.contract import Dynamics

MODULES = {
    "fine": "from env.dynamics.bounce import Bounce as Mine\nvalue = 3\n",
    "broken": "import math\n\n\nmath.sqrt(-1)\n",
    "needy": "\nimport a_library_that_does_not_exist\n",
    "typo": "x = 1\nclass Mine(:\n",
    "script": "raise SystemExit(3)\n",
    "half": "import env.dynamics.contract as c\nclass Mine(c.Dynamics):\n    decorrelation_ticks = 0\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_parts").mkdir()
    for name, text in MODULES.items():
        (tmp_path / "own_parts" / f"{name}.py").write_text(text)
    yield tmp_path / "own_parts"
    for name in [name for name in sys.modules if name.startswith("own_parts")]:
        del sys.modules[name]


def load(text):
    return load_class("scene.dynamics", text, Dynamics, "dynamics")


def test_a_class_is_loaded_by_its_name(folder):
    assert issubclass(load("own_parts.fine:Mine"), Dynamics)


@pytest.mark.parametrize(
    ("module", "reason", "line"),
    [
        ("broken", "ValueError: ", 4),
        ("needy", "No module named 'a_library_that_does_not_exist'", 2),
        ("typo", "SyntaxError: ", 2),
        ("script", "SystemExit: 3", 1),
    ],
)
def test_an_import_that_fails_is_reported_with_file_and_line(folder, module, reason, line):
    with pytest.raises(ValueError, match=r"scene\.dynamics='own_parts") as caught:
        load(f"own_parts.{module}:Mine")

    said = str(caught.value)
    assert reason in said
    assert f"at {folder / module}.py, line {line}; fix" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("own_parts.fine", "must read package.module:Class"),
        ("own_parts.fine:", "must read package.module:Class"),
        ("own_parts.fine:Mine()", "must read package.module:Class"),
        ("own_parts.fine:Other", "has no Other; check the spelling"),
        ("own_parts.fine:value", "value is no dynamics; derive it from env.dynamics.contract.Dynamics"),
        ("own_parts.half:Mine", "Mine does not define factors; define them"),
        ("own_parts.none:Mine", "no module own_parts.none; install it, or add its folder to PYTHONPATH"),
    ],
)
def test_a_name_without_a_suitable_class_is_refused_with_the_remedy(folder, text, reason):
    with pytest.raises(ValueError, match=r"scene\.dynamics=") as caught:
        load(text)

    assert reason in str(caught.value)


def test_an_error_without_a_traceback_has_no_place():
    assert place_of(ValueError("new")) == ""

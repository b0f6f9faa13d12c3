import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "scripts" / "update_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_shows_what_the_commands_generated(generator):
    text = (ROOT / "README.md").read_text()

    assert generator.readme(text) == text


def test_a_table_without_its_marks_is_an_error_and_not_a_silent_omission(generator):
    with pytest.raises(ValueError, match="no <!-- demo -->"):
        generator.replace_block("no marks here", "demo", "table")


def test_every_file_that_the_readme_names_is_there():
    text = (ROOT / "README.md").read_text()
    named = {part.split(")")[0] for part in text.split("](")[1:]}

    assert {name for name in named if not name.startswith("http") and not (ROOT / name).exists()} == set()

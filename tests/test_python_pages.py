"""The Python that README.md and docs/ show runs as it stands there, one page after the other."""

import shutil

import matplotlib.pyplot as plt
import pytest

import social_jepa
from tests.support.pages import ROOT, blocks

pytestmark = pytest.mark.ray

PAGES = ("README.md", "docs/tutorial.md", "docs/python.md")


def starts(block):
    return "sj.up(" in block


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    plt.close("all")


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_read_the_latest_run(page, here, small_run):
    shutil.copytree(small_run.folder.path, here / "runs" / "latest")
    names = {}
    for block in blocks(ROOT / page, "python"):
        if not starts(block):
            exec(compile(block, page, "exec"), names)

    assert names["run"].folder.path == here / "runs" / "latest"


def test_the_block_that_starts_a_simulation_lets_an_agent_join_and_leaves_nothing_up(
    here, ray_local, monkeypatch, capsys
):
    """As shown, but with the smallest settings, and on the Ray of the test session."""
    (block,) = {block for page in PAGES for block in blocks(ROOT / page, "python") if starts(block)}
    monkeypatch.setenv("RAY_ADDRESS", ray_local)
    names = {"sj": social_jepa, "small": ROOT / "examples" / "small.toml"}
    exec(block.replace('") as sim', '", config=small) as sim'), names)

    assert "agent-0 reaches agent-2 by agent-0" in capsys.readouterr().out
    assert "not up" in repr(names["sim"])

"""The commands that README.md and the tutorial show run as they stand there.

They read the run that comes with the package, as the tutorial says that they do; those that change a
simulation run in their order on a small one. Left out are commands that run until Ctrl-C, and those that
train or check the machine: other tests run them.
"""

import shlex
import shutil
import time

import pytest

from social_jepa.pretrained.archive import archive_of, unpack
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.run_folder import RunFolder
from tests.support.command import call
from tests.support.pages import ROOT, blocks

PAGES = ("README.md", "docs/tutorial.md")
READING = {"graph", "query", "edge", "report", "compare", "list", "export", "import", "scalars", "demo"}
CHANGING = {"up", "add-agent", "wait", "move-agent", "pause", "topology", "remove-agent", "down", "resume"}
ENDLESS = {"serve", "status"}  # of status the pages show --watch
TRAINING = {"run", "fork", "experiment", "reproduce", "peer", "doctor"}
SIMULATION = "## 4. A simulation that stays up"  # section of the tutorial whose commands follow each other
# What a page cannot know: which runs there are, and how long ago one has started.
KNOWN = {"RUN": "first", "'10 seconds ago'": "'1 second ago'"}


def commands(text):
    """Return the words of each command of ours in a page's blocks for a shell, as they can be run."""
    found = [line for block in text for line in block.splitlines() if line.startswith("social-jepa ")]
    for page, own in KNOWN.items():
        found = [line.replace(page, own) for line in found]
    return [shlex.split(line, comments=True)[1:] for line in found]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the runs first and second, of which second is the latest."""
    monkeypatch.chdir(tmp_path)
    first = unpack(archive_of("toy"), tmp_path / "runs" / "first")
    shutil.copytree(first.path, tmp_path / "runs" / "second")
    return tmp_path


def test_every_command_of_the_pages_is_of_a_known_sort():
    verbs = {words[0] for page in PAGES for words in commands(blocks(ROOT / page, "sh"))}

    assert verbs - (READING | CHANGING | ENDLESS | TRAINING) == set()
    assert len(verbs & READING) > 8


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_read_a_run_work_on_the_one_that_comes_with_the_package(page, here):
    above = (ROOT / page).read_text().partition(SIMULATION)[0]
    shown = commands([block for block in blocks(ROOT / page, "sh") if block in above])
    for words in shown:
        if words[0] in READING:
            if words[0] == "compare":
                words[2] = "second"
            said = call(*words)
            assert said.status == 0, (words, said.err)


@pytest.mark.ray
def test_commands_of_a_simulation_work_one_after_the_other(here, ray_local, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", ray_local)
    section = (ROOT / "docs/tutorial.md").read_text().partition(SIMULATION)[2]
    (block,) = [each for each in blocks(ROOT / "docs/tutorial.md", "sh") if each in section and "up " in each]
    shown = [words for words in commands([block]) if words[0] not in ENDLESS]
    assert [shown[0][0], shown[-1][0]] == ["up", "resume"]
    folder, until = here / "runs" / "third", time.monotonic() + 240
    try:
        for words in shown:
            own = ["--config", ROOT / "examples" / "small.toml", "--out", folder] if words[0] == "up" else []
            said = call(*words, *own)
            while said.status and "is stale" in said.err and time.monotonic() < until:
                said = call(*words, *own)  # an agent has published again, and negotiates its edges
            assert said.status == 0, (words, said.err)
    finally:
        Simulation.attach(RunFolder.at(folder)).down()

"""Every breach of the contract of sources is found, and said with its remedy."""

import re
import sys

import pytest

from env.common.custom_class import load_class
from env.sources.checker import SourceContractError, check_source
from env.sources.contract import FrameSource
from env.sources.settings import FramesConfig

HEAD = """
import os
import numpy as np
from env.sources.contract import FrameSource, check_ticks

class Mine(FrameSource):
    ticks, views, decorrelation_ticks = 40, 2, 8
    calls = 0
    def read(self, ticks, view):
        ticks = check_ticks(ticks, self.ticks)
        frames = np.zeros((len(ticks), self.frame_size, self.frame_size, 3), np.uint8)
        frames[:] = (3 * ticks + 100 * view)[:, None, None, None]
        return frames

class Case(Mine):
"""
READ = "    def read(self, ticks, view):\n        "
BREACHES = {
    "    ticks = 1.5": "Case.ticks is 1.5; return an int of 2 or more",
    "    views = 0": "Case.views is 0; return an int of 1 or more",
    "    identity = 7": "Case.identity is 7; return a text",
    READ + "return super().read(ticks, view).astype('f4')": "returned float32; return uint8",
    READ + "return super().read(ticks, view)[..., 0]": r"returned \(5, 16, 16\) for 5 ticks; return \[N, S,",
    READ + "return super().read(ticks, view).tolist()": "returned list; return an array",
    READ + "found = super().read(ticks, view); ticks += 1; return found": "overwrites its ticks",
    READ + "self.calls += 1; return super().read(ticks, view) + np.uint8(self.calls)":
        "depend on earlier calls or on the other ticks",
    READ + "return super().read(ticks, view) + np.uint8(range(len(ticks)))[:, None, None, None]":
        "two frames for one tick",
    READ + "return super().read(ticks % 40, view)": "returned a frame for tick -1 of 40; refuse",
    READ + "return super().read(ticks, view) + np.uint8(os.getpid() % 251)":
        "other frames in another process",
    READ + "return self.frames[ticks]": r"failed \(AttributeError: .*\) at .*, line \d+; fix it there",
    "    def state(self, ticks):\n        return ticks": r"Case.state returned \(5,\) for 5 ticks",
}  # fmt: skip


@pytest.fixture
def case(tmp_path, monkeypatch):
    def write(code):
        (tmp_path / "source_case.py").write_text(HEAD + code + "\n")
        return "source_case:Case"

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    sys.modules.pop("source_case", None)


@pytest.mark.parametrize("code", BREACHES)
def test_a_breach_is_found_and_named_with_its_remedy(code, case):
    with pytest.raises(SourceContractError, match=BREACHES[code]):
        check_source(case(code), FramesConfig(), 16)


def test_a_source_that_meets_the_contract_passes(case):
    check_source(case("    pass"), FramesConfig(), 16)


def test_a_class_that_is_no_source_is_refused():
    with pytest.raises(ValueError, match=re.escape("derive it from env.sources.contract.FrameSource")):
        load_class("scene.source", "env.scene:Scene", FrameSource, "source of frames")

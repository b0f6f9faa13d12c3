"""Every breach of the contracts of dynamics and renderers is found, and said with its remedy."""

import json
import re
import sys
from dataclasses import asdict

import pytest

from env.custom_scenes.checker import SceneError, check_dynamics, check_renderer, check_scene, digest
from env.dynamics.registry import DYNAMICS
from env.scene import Scene, SceneConfig

HEAD = """
import os
import numpy as np
from env.dynamics.contract import Dynamics
from env.dynamics.random_numbers import uniforms
from env.renderer import Renderer
from env.renderers.toy import ToyRenderer

class Mine(Dynamics):
    decorrelation_ticks = 96
    calls = 0
    def factors(self, ticks):
        start, speed = uniforms(f"mine:{self.motion.seed}", 0, self.motion.dim, 2).T
        return np.sqrt(2) * np.cos(6.28 * start + ticks[:, None] * (0.1 + 0.1 * speed))

class Picture(Renderer):
    def __init__(self, config):
        self.toy = ToyRenderer(config)
        self.calls = 0
    def render(self, state, pose, viewer=None):
        return self.toy.render(state, pose, viewer)
    def close(self):
        self.toy.close()
"""
MOTION = "class Case(Mine):\n"
FRAMES = "class Case(Picture):\n"
FACTORS = MOTION + "    def factors(self, ticks):\n        "
RENDER = FRAMES + "    def render(self, state, pose, viewer=None):\n        "

BAD_DYNAMICS = {
    FACTORS + "return super().factors(ticks).T": r"returned \(4, 6\) for 6 ticks; return an array \[T, F\]",
    FACTORS + "return super().factors(ticks).astype('f4')": "returned float32; return float64",
    FACTORS + "return super().factors(ticks) * np.nan":
        "not finite; look for a division",
    FACTORS + "ticks += 1; return super().factors(ticks)": "overwrites its ticks",
    FACTORS + "self.calls += 1; return super().factors(ticks) + self.calls": "depend on earlier calls",
    FACTORS + "return super().factors(ticks - ticks.min())": "depend on earlier calls or on the other ticks",
    FACTORS + "return np.sqrt(2) * np.cos(np.arange(4) + 0.1 * ticks[:, None])": "same for two seeds",
    FACTORS + "return super().factors(ticks) + 2": "have a mean of 2; subtract it",
    FACTORS + "return 3 * super().factors(ticks)": r"a variance of 9.*; divide them by 3",
    FACTORS + "return super().factors(ticks)[:, [0, 9, 1, 2]]":
        r"failed \(IndexError: .*\) at .*, line \d+; fix",
    FACTORS + "return super().factors(ticks) + 1e-6 * (os.getpid() % 999)": "other states in another process",
    MOTION + "    decorrelation_ticks = 9.5": "decorrelation_ticks is 9.5; return ticks as an int",
    MOTION + "    decorrelation_ticks = property(lambda self: self.motion.seed)": "differs by seed",
    MOTION + "    def positions(self, factors):\n        return factors":
        "positions reach 1.41; keep them in",
    MOTION + "    def positions(self, factors):\n        return factors[0] / 9": "return the same shape",
    MOTION + "    def positions(self, factors):\n        return np.tanh(factors + factors[:, :1])":
        "depends on other factors",
    MOTION + "    def positions(self, factors):\n        factors /= 9\n        return factors":
        "overwrites its factors",
    MOTION + "    def actions(self, now, later):\n        return now[:, 0]": r"actions returned \(8,\)",
    MOTION + "    def __eq__(self, other):\n        return self.motion == other.motion": "without __eq__",
    MOTION + "    def __init__(self, motion):\n        1 / 0": r"building Case failed \(ZeroDivisionError",
}  # fmt: skip
BAD_RENDERERS = {
    RENDER + "return super().render(state, pose, viewer)[:-1]": r"returned uint8 \(31, 32, 3\); return uint8",
    RENDER + "return super().render(state, pose, viewer) / 255": r"returned float64 \(32, 32, 3\)",
    RENDER + "return None": r"returned NoneType \(\); return uint8",
    RENDER + "self.calls += 1; return super().render(state, pose, viewer) + np.uint8(self.calls)":
        "other pixels",
    RENDER + "return super().render(state, POSE, viewer)": "two poses the same frame",
    RENDER + "return super().render(START, pose, viewer)": "does not show that an object has moved",
    RENDER + "return super().render(state, pose, None)": "draws the viewer's own body",
    RENDER + "state.positions[0] = 0; return super().render(state, pose, viewer)":
        r"read-only\) at .*line \d+; fix",
    RENDER + "return super().render(state, pose, viewer) + np.uint8(os.getpid() % 251)":
        "other pixels in another",
    FRAMES + "    def __init__(self, config):\n        super().__init__(config)\n"
    "        self.frame = np.zeros((32, 32, 3), np.uint8)\n"
    "    def render(self, state, pose, viewer=None):\n"
    "        self.frame[:] = super().render(state, pose, viewer)\n        return self.frame":
        "writes to again",
    FRAMES + "    def close(self):\n        del self.toy":
        r"failed \(AttributeError.*\) at .*, line \d+; fix",
    FRAMES + "    def __init__(self):\n        pass": r"building Case failed \(TypeError",
}  # fmt: skip
CONSTANTS = """
from env.camera import Pose
from env.scene import Scene, SceneConfig
POSE = Pose(4.8, 3.2, 0, 180, -35)
START = Scene(SceneConfig(objects=2), 0).state(0)
"""


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Return a function that writes a module and returns the name of its class Case."""

    def write(text):
        (tmp_path / "scene_case.py").write_text(HEAD + CONSTANTS + text + "\n")
        return "scene_case:Case"

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    sys.modules.pop("scene_case", None)


def config_of(**settings):
    return SceneConfig(**{"renderer": "toy", "objects": 2, "frame_size": 32, **settings})


@pytest.mark.parametrize("text", BAD_DYNAMICS)
def test_a_breach_of_the_contract_of_dynamics_is_said_with_its_remedy(case, text):
    with pytest.raises(SceneError) as caught:
        check_dynamics(config_of(dynamics=case(text)))

    assert re.search(BAD_DYNAMICS[text], str(caught.value)), caught.value


@pytest.mark.parametrize("text", BAD_RENDERERS)
def test_a_breach_of_the_contract_of_renderers_is_said_with_its_remedy(case, text):
    with pytest.raises(SceneError) as caught:
        check_renderer(config_of(renderer=case(text)))

    assert re.search(BAD_RENDERERS[text], str(caught.value)), caught.value


def test_dynamics_that_cannot_be_built_in_another_process_are_found(case):
    """They read a module that only this process has."""
    name = case(MOTION + "    def __init__(self, motion):\n        import sys\n        "
                "super().__init__(motion)\n        sys.modules['only_here']")  # fmt: skip
    sys.modules["only_here"] = sys
    try:
        with pytest.raises(SceneError, match=r"Case works here but not in another process \(.*only_here"):
            check_dynamics(config_of(dynamics=name))
    finally:
        del sys.modules["only_here"]


@pytest.mark.parametrize("kind", DYNAMICS)
def test_built_in_dynamics_meet_the_contract(kind):
    check_dynamics(config_of(dynamics=kind), seed=3)


@pytest.mark.parametrize("seed", range(3))
def test_slow_motion_is_not_mistaken_for_factors_of_another_variance(seed):
    check_dynamics(config_of(objects=1, autocorrelation=0.99), seed)


@pytest.mark.parametrize("renderer", ["toy", pytest.param("miniworld", marks=pytest.mark.gl)])
def test_built_in_renderers_meet_the_contract(renderer):
    check_scene(config_of(renderer=renderer))


def test_the_fingerprint_of_custom_dynamics_follows_their_states_and_not_their_text(case):
    def fingerprint(text):
        sys.modules.pop("scene_case", None)
        return Scene(config_of(dynamics=case(text)), 4).fingerprint

    first = fingerprint(MOTION + "    pass")
    assert fingerprint(MOTION + "    'The same motion in other words.'") == first
    assert fingerprint(FACTORS + "return -super().factors(ticks)") != first
    assert fingerprint(MOTION + "    def positions(self, factors):\n        return factors / 9") != first
    # the last digit may differ between machines
    assert fingerprint(FACTORS + "return super().factors(ticks) * (1 + 1e-15)") == first


@pytest.mark.parametrize("ticks", ["9.5", "-1", "'96'", "True"])
def test_a_memory_that_is_no_number_of_ticks_is_refused_where_it_is_read(case, ticks):
    config = config_of(dynamics=case(MOTION + f"    decorrelation_ticks = {ticks}"))
    with pytest.raises(ValueError, match="decorrelation_ticks of scene_case:Case must be an integer of 0 or"):
        assert config.decorrelation_ticks


def test_a_digest_is_of_states_or_of_a_frame(case):
    settings = asdict(config_of())
    pose = {"x": 4.8, "y": 3.2, "z": 0, "yaw": 180, "pitch": -35}
    found = {digest(json.dumps([settings, seed, where])) for seed in (1, 2) for where in (None, pose)}
    assert len(found) == 4

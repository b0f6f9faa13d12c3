"""Methods paragraphs state the settings of a run."""

import re
from dataclasses import replace

import pytest

from env.scene import SceneConfig
from env.sources.settings import FramesConfig
from social_jepa.experiments.common.describe import describe_agents, describe_objective, describe_scene
from social_jepa.experiments.common.trained_agents import AgentSetup
from social_jepa.experiments.framework.experiment import Experiment
from social_jepa.experiments.framework.methods import describe_statistics, methods_paragraph
from social_jepa.experiments.framework.registry import EXPERIMENTS, build_settings, load


def paragraph(name, quick):
    experiment = load(name)
    return methods_paragraph(experiment, build_settings(experiment, quick, []), range(3))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_describes_its_methods_with_the_numbers_of_its_settings(name):
    full, quick = paragraph(name, False), paragraph(name, True)

    assert len(full.split()) > 100
    assert full.endswith("otherwise open.")
    assert not re.search(r"[{}]|\bnan\b|  ", full)
    assert set(re.findall(r"\d[\d,.]*", full)) != set(re.findall(r"\d[\d,.]*", quick))


def test_a_changed_setting_changes_the_paragraph():
    setup = AgentSetup()
    text = describe_agents(setup)

    changed = {
        "objects": replace(setup, scene=replace(setup.scene, objects=5)),
        "frame_size": replace(setup, scene=replace(setup.scene, frame_size=48)),
        "dim": replace(setup, model=replace(setup.model, dim=24)),
        "objective": replace(setup, model=replace(setup.model, objective="ema")),
        "steps": replace(setup, training=replace(setup.training, steps=7)),
        "own_ticks": replace(setup, training=replace(setup.training, own_ticks=True)),
        "pool_ticks": replace(setup, negotiation=replace(setup.negotiation, pool_ticks=2048)),
    }
    assert len({text, *map(describe_agents, changed.values())}) == 1 + len(changed)
    assert "5 colored boxes" in describe_agents(changed["objects"])
    assert "latent of 24 dimensions" in describe_agents(changed["dim"])


@pytest.mark.parametrize(
    ("settings", "said", "not_said"),
    [
        (
            {"dynamics": "collide", "shapes": ("ball",)},
            ("3 colored balls that collide",),
            ("box", "Ornstein"),
        ),
        ({"dynamics": "coupled", "coupling": 0.3}, ("a coupling of 0.3", "tanh(0.45 z)"), ("Ornstein",)),
        ({"dynamics": "bounce"}, ("to and fro, up to 3.4 m",), ("Ornstein", "tanh")),
        ({"dynamics": "static", "objects": 1}, ("1 colored box that never moves,",), ("Ornstein", "pass")),
        ({"objects": 1}, ("1 colored box. Each of the 2 coordinates",), ("pass", "boxes")),
        ({"dynamics": "bounce", "objects": 1}, ("1 colored box that moves at constant",), ("pass",)),
        ({"dynamics": "my.module:Motion"}, ("the class my.module:Motion",), ("Ornstein", "pass", "tanh")),
        (
            {"shapes": ("ball", "brick_box"), "identity_ticks": 9},
            ("3 colored objects of the shapes ball, brick box (drawn anew every 9 ticks) that",),
            ("boxes",),
        ),
        ({"object_areas": ((0.0, 0.0, 1.0, 1.0),) * 3}, ("an object's own area",), ("3.4",)),
        (
            {"source": "video", "frames": FramesConfig(views=("left", "right"))},
            ("the source video, with the views left, right", "64 by 64 pixels"),
            ("box", "Ornstein", "MiniWorld", "room"),
        ),
    ],
)
def test_the_scene_is_described_by_its_settings(settings, said, not_said):
    text = describe_scene(SceneConfig(**settings))

    assert all(words in text for words in said)
    assert not any(words in text for words in not_said)


@pytest.mark.parametrize(
    ("module", "constant", "name"),
    [
        ("viewpoint", "NULL_SHUFFLES", "viewpoint"), ("worlds", "SHIFTS", "worlds"),
        ("scant_overlap", "SHIFTS", "scant-overlap"),
        ("isometry", "MAX_CHOICES", "isometry"), ("native_isometry", "MAX_CHOICES", "native-isometry"),
    ],
)  # fmt: skip
def test_numbers_of_the_methods_are_those_of_the_code(monkeypatch, module, constant, name):
    monkeypatch.setattr(f"social_jepa.experiments.{module}.describe.{constant}", 12345)

    assert "12345" in paragraph(name, False)


def test_further_encoders_are_named_where_they_are_trained():
    setup = AgentSetup()
    one = replace(setup, model=replace(setup.model, stages=1))

    assert "Up to 4 encoders" in describe_objective(setup)
    assert "encoders" not in describe_objective(one)


def test_statistics_name_the_seeds():
    assert "means over 5 seeds, 2000 to 2004" in describe_statistics(range(2000, 2005))
    assert "seed 7 alone" in describe_statistics([7])


def test_an_experiment_without_methods_has_no_paragraph():
    experiment = Experiment("x", "?", dict, {}, None, None, None, None)

    assert methods_paragraph(experiment, {}, range(3)) == ""

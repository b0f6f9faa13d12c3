"""The examples that the documentation quotes run, and meet their contracts."""

import importlib
import itertools
import os
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.agent import Agent
from agents.models.checker import check_frozen_encoder, check_world_model
from agents.models.registry import build_world_model, load_kind
from agents.models.settings import ModelConfig
from agents.spec import AgentSpec
from alignment.status import Status
from env.camera import RingConfig, ring_pose
from env.custom_scenes.checker import check_scene
from env.recording import Recorder
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from env.sources.checker import check_source
from social_jepa.config.run_config import load_config
from social_jepa.graph.graph_json import probe_r2
from social_jepa.records import decode
from social_jepa.records.alignment import AlignmentRecord
from social_jepa.records.peer import PeerGraph
from tests.support.command import call
from tests.support.swarm import negotiate_all

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
KIND = "custom_world_model:MlpWorldModel"
SCENE = SceneConfig(
    dynamics="custom_scene:Orbits", renderer="custom_scene:GrayRenderer", objects=2, frame_size=32
)


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


@pytest.fixture
def custom_scene(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield Scene(SCENE, 3)
    sys.modules.pop("custom_scene", None)


def test_the_custom_scene_meets_the_contract_of_scenes(custom_scene):
    check_scene(custom_scene.config, custom_scene.seed)


def test_objects_of_the_custom_scene_are_recorded_on_circles_and_in_gray(custom_scene):
    positions = custom_scene.state(70).positions
    radius = SCENE.object_range * np.tanh(SCENE.tanh_gain * np.sqrt(2))
    assert np.linalg.norm(custom_scene.factors(np.arange(9)).reshape(9, 2, 2), axis=-1) == pytest.approx(
        2**0.5
    )
    assert np.abs(positions).max() <= radius + 1e-9
    frames = Recorder(custom_scene, build_renderer(SCENE), ring_pose(0, RingConfig())).record(range(5)).frames
    assert (frames == frames[..., :1]).all()
    assert (frames[0] != frames[4]).any()


@pytest.mark.parametrize(
    ("page", "file"),
    [("model.md", "custom_world_model.py"), ("scene.md", "custom_scene.py"), ("source.md", "own_data.py")],
)
def test_the_documentation_quotes_the_examples_verbatim(page, file):
    text = (EXAMPLES.parent / "docs" / "how_to" / page).read_text()

    assert f"```python\n{(EXAMPLES / file).read_text()}```" in text


@pytest.fixture
def own_data(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(EXAMPLES)
    yield load_config(EXAMPLES / "own_data.toml", ["scene.frames.ticks=17000"])
    sys.modules.pop("own_data", None)


def test_the_window_over_a_photograph_meets_the_contract_of_sources(own_data):
    scene = own_data.scene
    check_source(scene.source, scene.frames, scene.frame_size)


def test_two_agents_see_two_halves_of_the_window_and_find_its_position(own_data, tmp_path):
    """The example with a quarter of its training: each core is the window's position, and the two agree."""
    model = replace(own_data.model, dim=4)
    training = replace(own_data.training, steps=80, replay_ticks=4096, core_eval_ticks=512)
    agents = {}
    for index, name in enumerate(own_data.names()):
        spec = AgentSpec(
            name=name, index=index, seed=0, kind="jepa", pose=own_data.pose(index), scene=own_data.scene,
            events=(), model=model, training=training, negotiation=own_data.negotiation,
            folder=str(tmp_path / name),
        )  # fmt: skip
        agents[name] = Agent(spec)
        agents[name].train()
        assert probe_r2(agents[name].publish(), agents[name].scene) > 0.5
    negotiate_all({name: agent.negotiation for name, agent in agents.items()})
    edges = [edge for agent in agents.values() for edge in agent.negotiation.edges.values()]

    assert [edge.status for edge in edges] == [Status.ACCEPTED] * 2
    assert min(edge.score.r2_shared for edge in edges) > 0.5


@pytest.mark.parametrize(("library", "name"), [("torchvision", "resnet18"), ("timm", "vit_tiny")])
def test_the_frozen_encoders_meet_the_contract_with_random_weights(library, name, monkeypatch):
    try:
        importlib.import_module(library)
    except (ImportError, RuntimeError) as error:  # RuntimeError: it was built for another torch
        pytest.skip(f"{library} cannot be used: {error}")
    monkeypatch.syspath_prepend(EXAMPLES)
    import frozen_encoders

    check_frozen_encoder(getattr(frozen_encoders, name)(None if library == "torchvision" else False))


def test_two_encoders_of_digits_align_at_least_as_well_as_by_procrustes(tmp_path):
    """The example runs as the page shows it; ours is not worse in any score, nor in retrieval."""
    subprocess.run(
        [sys.executable, EXAMPLES / "digits_embeddings.py", tmp_path],
        check=True,
        cwd=EXAMPLES.parent,
        capture_output=True,
    )
    tables = [tmp_path / f"{name}.safetensors" for name in ("convnet", "perceptron", "components")]
    for first, second in itertools.combinations(tables, 2):
        said = call("align", first, second, "--pairs", 256, "--baselines", "--json")
        record = decode(said.out, AlignmentRecord)
        assert (record.matched_by, record.edges[0].fit_anchors) == ("id", 256)
        assert all(edge.shared_dim > 15 and edge.retrieval_at_1 > 0.95 for edge in record.edges)
        for edge in record.edges:
            ours, *_, white, raw = [score for score in record.methods if score.source == edge.source]
            for name in ("r2", "r2_white", "r2_shared", "retrieval_at_1"):
                assert getattr(ours, name) >= max(getattr(white, name), getattr(raw, name))


def test_two_processes_negotiate_about_digits_as_the_page_shows(tmp_path):
    """The block of the page runs as it stands, but for the port, which must be free."""
    page = (EXAMPLES.parent / "docs" / "how_to" / "peers.md").read_text()
    ((block,),) = [re.findall(r"<!-- two-processes -->\n```sh\n(.*?)```", page, re.DOTALL)]
    with socket.create_server(("127.0.0.1", 0)) as free:
        block = block.replace("7000", str(free.getsockname()[1]))
    for name, words in (("social-jepa", ["-m", "social_jepa"]), ("python", [])):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *words])} "$@"\n')
        command.chmod(0o755)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    paths = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(
        ["bash", "-euc", block], cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    sides = tmp_path / "b" / "edges" / "convnet.safetensors", tmp_path / "b" / "anchors.safetensors"
    (settled,) = decode(call("peer", "graph", "--run", tmp_path / "b", "--json").out, PeerGraph).edges
    edge = decode(call("align", *sides, "--seed", settled.seed, "--json").out, AlignmentRecord).edges[0]
    assert edge.shared_dim > 15
    assert f"convnet > perceptron accepted: {edge.shared_dim} directions are shared" in done.stdout
    assert "perceptron: 597 anchors, 48 dimensions, 1 edges into it" in done.stdout
    assert "nearest anchors of perceptron" in done.stdout

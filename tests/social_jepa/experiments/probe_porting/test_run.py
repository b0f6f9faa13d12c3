"""Laws of the probe-porting experiment."""

import numpy as np
import pytest
import torch

from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.scene import Scene, SceneConfig
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.probe_porting.metrics import CONDITION
from social_jepa.experiments.probe_porting.probes import (
    REFERENCES,
    fit_probe,
    port_probe,
    random_map,
    unit_positions,
)
from social_jepa.experiments.probe_porting.run import EXPERIMENT, run
from social_jepa.experiments.probe_porting.settings import Settings
from tests.support.stored_plots import stored_plots

SCENE = SceneConfig(renderer="toy", objects=3)
TINY = {
    "setup": {
        "scene": {"renderer": "toy", "frame_size": 16, "objects": 2},
        "model": {"dim": 6, "width": 4, "hidden": 16},
        "training": {"steps": 20, "segments": 32, "replay_ticks": 512, "core_eval_ticks": 64},
        "negotiation": {"pool_ticks": 64, "anchors": 16, "heldout": 32},
    },
    "agents": 2, "anchor_counts": (2, 16), "threshold_anchors": 16,
}  # fmt: skip


def discard(text: str) -> None:
    pass


def planted_agent(index: int, noise: float = 0.05, rows: int = 800) -> TrainedAgent:
    """An agent whose core is a rotation of the true state."""
    scene, rng = Scene(SCENE, 5), np.random.default_rng([7, index])
    rotation = random_map(6, 6, index).numpy()
    sets = []
    for ticks in (range(rows), range(5000, 5000 + rows)):
        state = scene.factors(np.array(ticks))
        core = state @ rotation + noise * rng.standard_normal(state.shape)
        sets.append(AnchorSet(tuple(ticks), torch.from_numpy(core), 6))
    basis = CoreBasis(torch.zeros(6), torch.eye(6), torch.full((6,), 0.7), 6, torch.zeros(6), 0.1)
    return TrainedAgent(f"agent-{index}", torch.nn.Identity(), basis, *sets, scene, 0, 0.0)


@pytest.fixture(scope="module")
def agents_and_probes():
    pair = [planted_agent(0), planted_agent(1)]
    return pair, {agent.name: fit_probe(agent) for agent in pair}


def test_a_probe_works_for_a_peer_whose_core_differs_by_a_rotation(agents_and_probes):
    (reader, owner), probes = agents_and_probes
    found = port_probe(reader, owner, probes, (1, 128), 3)
    scores = {name: score.score for name, score in found.items()}
    assert scores["own"] > 0.9
    assert abs(scores["own"] - scores["ported, 128"]) < 0.02
    for name in ("no map", "random map", "shuffled, 128", "chance", "ported, 1"):
        assert scores[name] < scores["own"] - 0.1, name


def test_a_ported_probe_fails_where_the_core_lacks_the_state(agents_and_probes):
    pair, _ = agents_and_probes
    noisy = planted_agent(2, noise=30.0)
    probes = {agent.name: fit_probe(agent) for agent in (pair[0], noisy)}
    found = port_probe(noisy, pair[0], probes, (128,), 0)
    assert found["own"].score < 0.1
    assert found["ported, 128"].score < 0.1


def test_targets_are_the_positions_of_objects_as_shares_of_their_range(agents_and_probes):
    agent = agents_and_probes[0][0]
    targets = unit_positions(agent, agent.heldout)
    states = agent.scene.states(np.array(agent.heldout.ids))

    assert np.abs(targets).max() < 1
    assert np.allclose(SCENE.object_range * targets, states.positions.reshape(len(targets), -1))


def test_a_random_map_preserves_lengths():
    matrix = random_map(5, 7, 1)
    assert torch.allclose(matrix @ matrix.T, torch.eye(5, dtype=matrix.dtype))
    assert not torch.allclose(matrix, random_map(5, 7, 2))


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"agents": 1}, "agents"), ({"anchor_counts": (0, 256)}, "anchor_counts"),
        ({"anchor_counts": (256, 4096)}, "anchor_counts"), ({"threshold_anchors": 100}, "threshold_anchors"),
    ],
)  # fmt: skip
def test_settings_that_measure_nothing_are_refused(change, setting):
    with pytest.raises(ValueError, match=setting):
        Settings(**change)


def test_every_metric_has_the_null_of_its_own_number_of_anchors():
    settings = build_config(Settings, TINY, ["anchor_counts=[8, 16, 32]"])
    names = [*REFERENCES, "worst loss", "own probe, 16 labels"]
    names += [f"{kind}, {count}" for kind in ("ported", "shuffled") for count in settings.anchor_counts]
    values = {name: index / 10 for index, name in enumerate(names)}
    scores = {name: Score.single(value) for name, value in values.items()}
    scores |= {baseline_name(name, score): value for name in METHODS for score, value in scores.items()}
    results = Results({(CONDITION, 0): ConditionResult(scores)}, [0])
    metrics = {metric.name: metric for metric in EXPERIMENT.metrics(results, settings)}

    for count in settings.anchor_counts:
        assert metrics[f"positions: ported, {count}"].null == values[f"shuffled, {count}"]
    assert all(metrics[f"positions: {name}"].null == values["shuffled, 16"] for name in REFERENCES)
    loss = metrics["positions: own minus ported, 16 anchors"]
    assert loss.null == pytest.approx(values["own"] - values["shuffled, 16"])


def test_a_run_gives_every_metric_and_the_same_again():
    settings = build_config(Settings, TINY, [])
    result, again = (run(CONDITION, 1, settings, discard) for _ in range(2))
    for name, score in result.scores.items():
        assert np.array_equal(score.values, again.scores[name].values)
    results = Results({(CONDITION, 1): result}, [1])
    metrics = EXPERIMENT.metrics(results, settings)
    assert [metric.group for metric in metrics if metric.threshold] == ["thresholds"]
    assert all(np.isfinite(metric.estimate.value) for metric in metrics)
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, settings))
    for figure in stored_plots(EXPERIMENT, results, settings).values():
        figure.canvas.draw()

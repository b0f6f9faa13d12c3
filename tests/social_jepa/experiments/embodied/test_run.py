"""Laws of embodied: the map carries what both share and nothing of how a camera moves; plans reach goals."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alignment.anchors import AnchorSet
from env.camera_motion import camera_offsets
from env.scene import Scene
from social_jepa.experiments.common.edges import Pairing
from social_jepa.experiments.embodied.metrics import make_metrics, make_notes
from social_jepa.experiments.embodied.run import EXPERIMENT, run
from social_jepa.experiments.embodied.scores import (
    camera_scores,
    camera_states,
    make_maps,
    pair_scores,
    shared_directions,
)
from social_jepa.experiments.embodied.settings import MOTIONS, Settings
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.registry import build_settings
from tests.support.stored_plots import stored_plots

TINY = build_settings(
    EXPERIMENT,
    True,
    [
        "setup.scene.frame_size=16",
        "setup.training.steps=8",
        "setup.training.stage_steps=4",
        "setup.training.segments=16",
        "setup.training.replay_ticks=256",
        "setup.training.core_eval_ticks=128",
        "setup.model.dim=6",
        "setup.model.width=4",
        "setup.model.hidden=8",
        "setup.negotiation.pool_ticks=192",
        "setup.negotiation.anchors=64",
        "setup.negotiation.heldout=96",
        "fit_ticks=64",
        "planning.episodes=3",
        "planning.population=8",
        "planning.elite=2",
        "planning.rounds=1",
        "planning.ticks=3",
    ],
)
PAIRING = Pairing(anchors=512, heldout=512, memory_rows=8)
MOTION = replace(MOTIONS["pan, tilt and walk"], walk=0.0)
ROWS, STRIDE = 512, 64  # ticks far apart, so that rows are nearly independent


class PlannedAgent:
    """What scores read of a trained agent: factors of the objects and its camera's offsets, rotated."""

    def __init__(self, index, seed=3, noise=0.05, private=True):
        settings = Settings()
        scene = replace(settings.setup.scene, objects=2, camera_motion=MOTION, renderer="toy")
        self.name, self.scene = f"agent-{index}", Scene(scene, seed)
        rng = np.random.default_rng(index)
        self.core_dim = 6 if private else 4
        self.rotation = np.linalg.qr(rng.standard_normal((self.core_dim, self.core_dim)))[0]
        self.anchors, self.heldout = (
            self._rows(np.arange(ROWS) * STRIDE + start, noise, private, rng) for start in (0, ROWS * STRIDE)
        )

    def _rows(self, ticks, noise, private, rng):
        offsets = camera_offsets(MOTION, self.scene.seed, self.name, ticks)[:, :2]
        latents = np.concatenate([self.scene.factors(ticks), *([offsets / offsets.std(0)] * private)], 1)
        latents = (latents + noise * rng.standard_normal(latents.shape)) @ self.rotation
        return AnchorSet(tuple(ticks.tolist()), torch.from_numpy(latents), self.core_dim)

    def states(self, rows):
        return torch.from_numpy(self.scene.factors(np.array(rows.ids)))


@pytest.fixture(scope="module")
def agents():
    return PlannedAgent(0), PlannedAgent(1)


def test_moving_cameras_share_the_objects_and_keep_their_own_motion(agents):
    first, second = agents
    shared = shared_directions(first, second, PAIRING)
    found = {name: score.score for name, score in camera_scores(first, shared).items()}

    assert shared.dim == 4
    assert found["camera R2: own latents"] > 0.9
    assert found["camera R2: translated"] < 0.05
    assert found["camera R2: translated, shifted"] < 0.05
    assert found["state R2: translated"] > 0.9


def test_one_offset_that_is_told_counts_beside_others_that_are_not(agents):
    first, second = agents
    shared = shared_directions(first, second, PAIRING)
    pan = torch.from_numpy(first.rotation)[4]  # of the core, the direction of one of the two offsets
    axes = shared.source_axes.clone()
    axes[:, shared.dim] = pan
    found = camera_scores(first, replace(shared, source_axes=axes, dim=shared.dim + 1))

    assert found["camera R2: translated"].score > 0.9


def test_where_nothing_is_shared_nothing_is_told_and_no_bound_is_met(agents):
    nothing = replace(shared_directions(*agents, PAIRING), dim=0)

    assert np.isnan(camera_scores(agents[0], nothing)["camera R2: translated"].score)


def test_a_map_that_keeps_everything_tells_how_the_camera_moved(agents):
    shared = shared_directions(*agents, PAIRING)
    everything = replace(shared, dim=shared.source_axes.shape[1])

    assert camera_scores(agents[0], everything)["camera R2: translated"].score > 0.9


def test_the_map_carries_goals_and_the_null_of_as_many_directions_does_not(agents):
    first, second = agents
    maps = make_maps(first, second, PAIRING, shared_directions(first, second, PAIRING))
    objects = torch.from_numpy(second.rotation)[:4]  # directions of the target that objects move
    wanted = second.heldout.core().double() @ objects.T

    def error(name):
        found = maps[name](first.heldout.core().double()) @ objects.T
        return float((found - wanted).square().mean() / wanted.square().mean())

    assert error("shared map") < 0.05
    assert error("shifted map") > 0.5
    assert error("no map") > 0.5
    assert torch.linalg.matrix_rank(maps["shifted map"].weight) == 4


def test_the_states_of_a_camera_are_its_own_and_those_that_move(agents):
    first, second = agents
    one, other = (camera_states(agent, agent.heldout) for agent in agents)

    assert one.shape == (ROWS, 2)
    assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.2
    ticks = np.array(first.heldout.ids)
    walking = replace(first.scene.config, camera_motion=MOTIONS["pan, tilt and walk"])
    first_walking = PlannedAgent(0)
    first_walking.scene = Scene(walking, second.scene.seed)
    assert camera_states(first_walking, first.heldout).shape == (len(ticks), 4)


@pytest.mark.parametrize(
    "change",
    [
        "setup.scene.camera_motion.pan=3",
        "setup.scene.bodies=true",
        "fit_ticks=1",
        "fit_ticks=1000000",
        "planning.episodes=100000",
        "setup.negotiation.pool_ticks=100",
    ],
)
def test_settings_that_measure_nothing_are_refused(change):
    with pytest.raises(
        ValueError, match=change.partition("=")[0].rpartition(".")[2].replace("pan", "motion")
    ):
        build_settings(EXPERIMENT, True, [change])


def test_a_run_scores_every_policy_and_equal_seeds_give_equal_scores():
    found = {(condition, 0): run(condition, 100, TINY, lambda text: None) for condition in MOTIONS}
    results = Results(found, [0])
    (again,) = (run(condition, 100, TINY, lambda text: None) for condition in MOTIONS)
    for name, score in again.scores.items():
        assert np.array_equal(score.values, found[next(iter(MOTIONS)), 0].scores[name].values, equal_nan=True)

    metrics = make_metrics(results, TINY)
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert sum(metric.threshold is not None for metric in metrics) == 5
    assert make_notes(results, TINY)
    assert set(stored_plots(EXPERIMENT, results, TINY)) == {"success", "distances", "cameras", "episode"}
    for each in found.values():
        assert each.arrays["frames"].shape[0] == TINY.planning.ticks + 3


def test_an_agent_without_a_core_ends_the_task(agents):
    empty = SimpleNamespace(agent=SimpleNamespace(core_dim=0))

    with pytest.raises(ValueError, match="found no core"):
        pair_scores([empty, empty], PAIRING, TINY, 0)

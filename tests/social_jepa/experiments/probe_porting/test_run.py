import numpy as np
import pytest
import torch

from alignment.anchors import AnchorSet
from alignment.core import CoreBasis
from env.scene import Scene, SceneConfig
from social_jepa.config.overrides import build_config
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.experiment import ConditionResult, Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.probe_porting import run as porting

SCENE = SceneConfig(renderer="toy", objects=3)
TINY = {
    "upbringing": {
        "scene": {"renderer": "toy", "frame_size": 16, "objects": 2},
        "model": {"dim": 6, "width": 4, "hidden": 16},
        "training": {"steps": 20, "segments": 32, "replay_ticks": 512, "core_eval_ticks": 64},
        "negotiation": {"pool_ticks": 64, "anchors": 16, "heldout": 32},
    },
    "agents": 2, "budgets": (2, 16), "judged": 16,
}  # fmt: skip


def quiet(text: str) -> None:
    pass


def planted(index: int, noise: float = 0.05, rows: int = 800) -> TrainedAgent:
    """A stranger whose core is a turn of the true state."""
    scene, rng = Scene(SCENE, 5), np.random.default_rng([7, index])
    turn = porting.random_map(6, 6, index).numpy()
    sets = []
    for ticks in (range(rows), range(5000, 5000 + rows)):
        state = scene.factors(np.array(ticks))
        core = state @ turn + noise * rng.standard_normal(state.shape)
        sets.append(AnchorSet(tuple(ticks), torch.from_numpy(core), 6))
    basis = CoreBasis(torch.zeros(6), torch.eye(6), torch.full((6,), 0.7), 6)
    return TrainedAgent(f"agent-{index}", torch.nn.Identity(), basis, *sets, scene, 0, 0.0)


@pytest.fixture(scope="module")
def society():
    pair = [planted(0), planted(1)]
    return pair, {stranger.name: porting.probes_of(stranger) for stranger in pair}


@pytest.mark.parametrize("task", porting.TASKS)
def test_a_probe_serves_a_peer_whose_core_is_a_turn_away(society, task):
    (here, owner), readers = society
    found = porting.ported(task, here, owner, readers, (1, 128), 3)
    scores = {line: measure.score for line, measure in found.items()}
    assert scores["own"] > 0.9
    assert abs(scores["own"] - scores["ported, 128"]) < 0.02
    for line in ("no map", "random map", "shuffled, 128", "chance", "ported, 1"):
        assert scores[line] < scores["own"] - 0.1, line


def test_what_a_map_does_not_know_no_probe_reads(society):
    pair, _ = society
    deaf = planted(2, noise=30.0)
    readers = {stranger.name: porting.probes_of(stranger) for stranger in (pair[0], deaf)}
    found = porting.ported("positions", deaf, pair[0], readers, (128,), 0)
    assert found["own"].score < 0.1
    assert found["ported, 128"].score < 0.1


def test_labels_say_where_objects_are(society):
    here = society[0][0]
    places = porting.labels("positions", here, here.heldout).reshape(-1, 3, 2)
    quadrant, nearest = (porting.labels(task, here, here.heldout) for task in porting.TASKS[1:])
    assert np.abs(places).max() < 1
    assert np.array_equal(quadrant >= 2, places[:, 0, 0] > 0)
    assert np.array_equal(quadrant % 2 == 1, places[:, 0, 1] > 0)
    assert np.array_equal(nearest, np.linalg.norm(places, axis=2).argmin(1))


def test_a_random_map_keeps_lengths():
    turn = porting.random_map(5, 7, 1)
    assert torch.allclose(turn @ turn.T, torch.eye(5, dtype=turn.dtype))
    assert not torch.allclose(turn, porting.random_map(5, 7, 2))


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"agents": 1}, "agents"), ({"budgets": (0, 256)}, "budgets"), ({"budgets": (256, 4096)}, "budgets"),
        ({"judged": 100}, "judged"),
    ],
)  # fmt: skip
def test_settings_that_measure_nothing_are_refused(wrong, word):
    with pytest.raises(ValueError, match=word):
        porting.Settings(**wrong)


def test_a_room_of_one_object_has_no_nearest():
    with pytest.raises(ValueError, match="objects"):
        build_config(porting.Settings, {}, ["upbringing.scene.objects=1"])


def test_every_line_stands_beside_the_null_of_its_own_budget():
    settings = build_config(porting.Settings, TINY, ["budgets=[8, 16, 32]"])
    lines = [*porting.UNMAPPED, "worst loss", "own labels, 16"]
    lines += [f"{kind}, {count}" for kind in ("ported", "shuffled") for count in settings.budgets]
    worth = {line: place / 10 for place, line in enumerate(lines)}
    measures = {
        f"{task}: {line}": Score.single(value) for task in porting.TASKS for line, value in worth.items()
    }
    shown = {
        line.name: line
        for line in porting.figures(Results({("society", 0): ConditionResult(measures)}, [0]), settings)
    }

    for task in porting.TASKS:
        for count in settings.budgets:
            assert shown[f"{task}: ported, {count}"].null == worth[f"shuffled, {count}"]
        assert all(shown[f"{task}: {line}"].null == worth["shuffled, 16"] for line in porting.UNMAPPED)
        loss = shown[f"{task}: own minus ported, 16 anchors"]
        assert loss.null == pytest.approx(worth["own"] - worth["shuffled, 16"])


def test_a_run_gives_every_figure_and_the_same_again():
    settings = build_config(porting.Settings, TINY, [])
    outcome, again = (porting.run("society", 1, settings, quiet) for _ in range(2))
    for name, measure in outcome.scores.items():
        assert np.array_equal(measure.values, again.scores[name].values)
    results = Results({("society", 1): outcome}, [1])
    lines = porting.figures(results, settings)
    assert [line.group for line in lines if line.threshold] == ["goals"] * 3
    assert len(lines) <= 40
    assert all(np.isfinite(line.estimate.value) for line in lines)
    assert all(isinstance(note, str) for note in porting.notes(results, settings))
    for picture in porting.pictures(results, settings).values():
        picture.canvas.draw()

import numpy as np

from env.objects.dataset import ObjectsConfig
from env.objects.rotation import from_quaternions
from env.scene import SceneConfig
from social_jepa.experiments.common.probes import linear_probe
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.path_integration import run as path
from social_jepa.experiments.path_integration.data import glance_paths, rotation_paths
from social_jepa.experiments.path_integration.training import train

TINY = path.Settings(
    renderer="toy", frame_size=16, longest=3, training=30, probing=40, scoring=30, dim=16, width=4, hidden=16,
    frames=40, steps=4, probe_steps=5, probe_hidden=16,
)  # fmt: skip


def quiet(text: str) -> None:
    pass


def test_the_summed_action_of_glances_is_the_sum_of_the_actions():
    _, probe, scoring = glance_paths(SceneConfig(renderer="toy", frame_size=16), 15.0, 0, (5, 200, 100), 5)
    for moves in (1, 2, 4):
        assert np.allclose(probe.summed(moves), probe.actions[:, :moves].sum(1), atol=1e-5)
    x, seen = (paths.actions.reshape(len(paths.actions), -1) for paths in (probe, scoring))
    assert Score.r2(linear_probe(x, probe.summed(4))(seen), scoring.summed(4)).score > 0.99


def test_the_summed_action_of_turns_is_their_composition():
    _, probe, _ = rotation_paths(ObjectsConfig("toy", 16), 0, (5, 20, 5), 4)
    composed = from_quaternions(probe.actions[:, 0])
    for move in (1, 2):
        composed = from_quaternions(probe.actions[:, move]) * composed
    assert composed.approx_equal(from_quaternions(probe.summed(3)), atol=1e-5).all()


def test_sets_share_no_scene_and_no_object():
    for sets in (path._paths("glances", 0, TINY), path._paths("rotation", 0, TINY)):
        places = [{row.tobytes() for row in paths.places} for paths in sets]
        assert sum(map(len, places)) == len(set().union(*places)) == 100


def test_ablations_leave_nothing_of_what_they_take():
    training, probe, _ = path._paths("rotation", 0, TINY)
    frame, action = training.frames[0, 0], training.actions[0, 0]
    blind, deaf = (path.ablated(probe, inputs, frame, action) for inputs in path.INPUTS[1:3])
    assert (blind.frames == frame).all()
    assert np.array_equal(blind.actions, probe.actions)
    assert (deaf.actions == action).all()
    assert np.array_equal(deaf.frames, probe.frames)


def test_counted_operations_are_those_of_the_lengths_that_were_drawn():
    training, *_ = path._paths("glances", 0, TINY)
    counts = [train(training, TINY.sizes, seed, quiet)[1] for seed in (0, 0, 1)]
    assert counts[0] == counts[1] > 0


def test_both_worlds_run_and_equal_seeds_give_equal_outcomes():
    outcomes = {(part, 0): path.run(part, 0, TINY, quiet) for part in path.WORLDS}
    again = path.run("rotation", 0, TINY, quiet)
    for name, measure in again.scores.items():
        assert np.array_equal(measure.values, outcomes["rotation", 0].scores[name].values)
    results = Results(outcomes, [0])
    assert len([figure for figure in path.figures(results, TINY) if figure.threshold]) == 2
    assert all(isinstance(note, str) for note in path.notes(results, TINY))
    for picture in path.pictures(results, TINY).values():
        picture.canvas.draw()

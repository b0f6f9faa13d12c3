from dataclasses import replace

import numpy as np
import pytest

from env.objects.dataset import ObjectsConfig
from env.objects.rotation import from_quaternions
from env.scene import SceneConfig
from social_jepa.experiments.common.probes import linear_probe
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.path_integration.data import (
    build_data,
    measured_actions,
    record_scene_views,
    sample_object_rotations,
)
from social_jepa.experiments.path_integration.metrics import metrics, notes
from social_jepa.experiments.path_integration.run import EXPERIMENT, run
from social_jepa.experiments.path_integration.scores import ablate
from social_jepa.experiments.path_integration.settings import (
    ACTION_ONLY,
    CONDITIONS,
    OBJECT_ROTATIONS,
    SCENE_VIEWS,
    VISION_ONLY,
    Settings,
)
from social_jepa.experiments.path_integration.training import train
from tests.support.stored_plots import stored_plots

TINY = Settings(
    renderer="toy", frame_size=16, max_actions=3, training_sequences=30, probe_sequences=40,
    scoring_sequences=30, dim=16, width=4, hidden=16, views_per_step=40, steps=4, probe_steps=5,
    probe_hidden=16,
)  # fmt: skip


def quiet(text: str) -> None:
    pass


def test_the_total_action_of_scene_views_is_the_sum_of_the_actions():
    scene = SceneConfig(renderer="toy", frame_size=16)
    _, probe, scoring = record_scene_views(scene, 15.0, 0, (5, 200, 100), 5)
    for actions in (1, 2, 4):
        assert np.allclose(probe.total_action(actions), probe.actions[:, :actions].sum(1), atol=1e-5)
    x, inputs = (sequences.actions.reshape(len(sequences.actions), -1) for sequences in (probe, scoring))
    predicted = linear_probe(x, probe.total_action(4))(inputs)
    assert Score.r2(predicted, scoring.total_action(4)).score > 0.99


def test_the_total_action_of_rotations_is_their_composition():
    _, probe, _ = sample_object_rotations(ObjectsConfig("toy", 16), 0, (5, 20, 5), 4)
    composed = from_quaternions(probe.actions[:, 0])
    for action in (1, 2):
        composed = from_quaternions(probe.actions[:, action]) * composed
    assert composed.approx_equal(from_quaternions(probe.total_action(3)), atol=1e-5).all()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_odometry_has_errors_of_the_size_that_is_set_and_leaves_the_total_exact(condition):
    many = replace(TINY, training_sequences=400)
    exact, measured = (
        build_data(condition, 0, replace(many, odometry_noise=noise))[0] for noise in (0.0, 0.25)
    )

    assert np.array_equal(exact.orientations, measured.orientations)
    assert np.array_equal(exact.total_action(2), measured.total_action(2))
    if condition == OBJECT_ROTATIONS:
        assert np.allclose(np.linalg.norm(measured.actions, axis=-1), 1, atol=1e-6)
        turns = [from_quaternions(each.actions.reshape(-1, 4)) for each in (exact, measured)]
        errors, sizes = (turns[1] * turns[0].inv()).magnitude(), turns[0].magnitude()
    else:
        errors = np.linalg.norm(measured.actions - exact.actions, axis=-1)
        sizes = np.linalg.norm(exact.actions, axis=-1)
    share = (np.square(errors).mean() / np.square(sizes).mean()) ** 0.5
    assert share == pytest.approx(0.25, rel=0.1)


def test_errors_of_odometry_are_independent_of_each_other_and_of_the_action():
    actions = np.random.default_rng(0).standard_normal((4000, 3, 2)).astype(np.float32)
    errors = measured_actions(actions, 0.5, np.random.default_rng(1)) - actions

    columns = np.concatenate([errors.reshape(4000, 6), actions.reshape(4000, 6)], 1)
    assert np.abs(np.corrcoef(columns.T) - np.eye(12))[:6].max() < 0.08


@pytest.mark.parametrize(
    ("name", "value"), [("action_share", 1.0), ("context_views", 9), ("odometry_noise", -0.1)]
)
def test_settings_that_no_sequence_has_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name}="):
        replace(Settings(), **{name: value})


def test_sets_share_no_view_and_no_object():
    for condition in CONDITIONS:
        sets = [{row.tobytes() for row in data.orientations} for data in build_data(condition, 0, TINY)]
        assert sum(map(len, sets)) == len(set().union(*sets)) == 100


def test_ablations_replace_all_views_or_all_actions():
    training, probe, _ = build_data(OBJECT_ROTATIONS, 0, TINY)
    frame, action = training.frames[0, 0], training.actions[0, 0]
    action_only, vision_only = (ablate(probe, inputs, frame, action) for inputs in (ACTION_ONLY, VISION_ONLY))
    assert (action_only.frames == frame).all()
    assert np.array_equal(action_only.actions, probe.actions)
    assert (vision_only.actions == action).all()
    assert np.array_equal(vision_only.frames, probe.frames)


def test_counted_flops_depend_only_on_the_seed():
    training, *_ = build_data(SCENE_VIEWS, 0, TINY)
    counts = [train(training, TINY, seed, quiet)[1] for seed in (0, 0, 1)]
    assert counts[0] == counts[1] > 0


def test_both_conditions_run_reproducibly_and_fill_metrics_notes_and_plots():
    outcomes = {(condition, 0): run(condition, 0, TINY, quiet) for condition in CONDITIONS}
    again = run(OBJECT_ROTATIONS, 0, TINY, quiet)
    for name, score in again.scores.items():
        assert np.array_equal(score.values, outcomes[OBJECT_ROTATIONS, 0].scores[name].values)
    results = Results(outcomes, [0])
    assert len([metric for metric in metrics(results, TINY) if metric.threshold]) == 4
    assert all(isinstance(note, str) for note in notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()

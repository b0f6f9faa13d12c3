from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from env.objects.dataset import ObjectsConfig
from env.objects.rotation import from_quaternions, relative_quaternions, to_quaternions
from social_jepa.experiments.common.plotting import LOWEST_BAR, draw_bars
from social_jepa.experiments.common.probes import (
    grouped_accuracy,
    grouped_r2,
    linear_classifier,
    linear_probe,
    mlp_probe,
)
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.invariance_equivariance.data import (
    circular_windows,
    ordered_view_pairs,
    sample_objects,
    sample_sequences,
)
from social_jepa.experiments.invariance_equivariance.metrics import metrics, notes
from social_jepa.experiments.invariance_equivariance.plots import label_bars
from social_jepa.experiments.invariance_equivariance.run import EXPERIMENT, object_set, run
from social_jepa.experiments.invariance_equivariance.scores import (
    ProbeData,
    latent_scores,
    nearest_views,
    pixel_pca,
)
from social_jepa.experiments.invariance_equivariance.settings import (
    CONDITIONS,
    METHOD_SETTINGS,
    InvarianceStream,
    MethodSettings,
    Settings,
)
from social_jepa.experiments.invariance_equivariance.training import build_calibrated, ema_updater, train
from tests.support.stored_plots import stored_plots

TINY = Settings(
    renderer="toy", frame_size=16, training_objects=40, probe_objects=40, scoring_objects=30,
    unseen_objects=20, dim=16, width=4, hidden=16, views_per_step=64, teraflops=0.0005, probe_steps=5,
    probe_hidden=16,
)  # fmt: skip


def quiet(text: str) -> None:
    pass


def training_pool():
    return sample_objects(TINY.objects_config, (0, InvarianceStream.TRAINING), 40, 4)


def test_sequences_contain_the_rotation_from_each_view_to_the_next():
    views = training_pool()
    frames, actions = sample_sequences(views, np.random.default_rng(3), 10, 3)
    assert frames.shape == (10, 3, 16, 16, 3)
    assert actions.shape == (10, 2, 4)
    for row in range(10):
        indices = [np.argwhere((views.frames == frame).all((2, 3, 4)))[0] for frame in frames[row]]
        assert len({tuple(index) for index in indices}) == 3
        rotations = views.rotations[tuple(np.array(indices).T)]
        composed = from_quaternions(actions[row, 0]) * from_quaternions(rotations[0])
        assert np.allclose(to_quaternions(composed), rotations[1], atol=1e-6)


def test_a_circle_of_views_has_equally_many_windows_of_each_length():
    assert circular_windows(5, 3).tolist()[4] == [4, 0, 1]
    assert all(len(circular_windows(5, length)) == 5 for length in (1, 3, 5))
    assert len({tuple(pair) for pair in ordered_view_pairs(4).tolist()}) == 12


def test_sets_of_a_seed_share_no_object_and_unseen_classes_are_disjoint():
    sets = [object_set(TINY, 0, stream) for stream in list(InvarianceStream)[:5]]
    stretches = [{row.tobytes() for row in views.stretches} for views in sets]
    assert sum(len(found) for found in stretches) == len(set().union(*stretches))
    seen, unseen = ({*np.concatenate([v.classes for v in group]).tolist()} for group in (sets[:3], sets[3:]))
    assert not seen & unseen


def test_equal_seeds_give_equal_pixels():
    again = sample_objects.__wrapped__(TINY.objects_config, (0, InvarianceStream.TRAINING), 40, 4)
    assert np.array_equal(training_pool().frames, again.frames)


@pytest.mark.parametrize("probe", ["linear", "MLP"])
def test_probes_recover_a_planted_linear_relation(probe):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 3))
    x, seen = rng.normal(size=(2000, 6)), rng.normal(size=(500, 6))
    y = x @ weight + 2.0
    fitted = linear_probe(x, y) if probe == "linear" else mlp_probe(x, y, [0, 1], 300, hidden=64)
    assert grouped_r2(fitted(seen), seen @ weight + 2.0, 100).score > 0.97


def test_the_mlp_recovers_relative_rotations_that_ridge_regression_cannot():
    rng = np.random.default_rng(1)
    angles = rng.uniform(-60, 60, size=(6000, 2, 3))
    rotations = to_quaternions(Rotation.from_euler("xyz", angles, degrees=True))
    x, y = rotations.reshape(-1, 8), relative_quaternions(rotations[:, 0], rotations[:, 1])
    linear, mlp = (
        linear_probe(x[:5000], y[:5000]),
        mlp_probe(x[:5000], y[:5000], [0, 2], 400, hidden=64),
    )
    scores = [grouped_r2(probe(x[5000:]), y[5000:], 1000).score for probe in (linear, mlp)]
    assert scores[1] > 0.9
    assert scores[1] > scores[0] + 0.05


def test_probes_of_shuffled_targets_are_near_zero():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(4000, 5)), rng.normal(size=(4000, 2))
    assert abs(grouped_r2(linear_probe(x[:3000], y[:3000])(x[3000:]), y[3000:], 1000).score) < 0.03


def test_the_classifier_separates_separable_classes_and_predicts_their_original_labels():
    rng = np.random.default_rng(3)
    labels = rng.choice([4, 7, 9], size=600)
    x = np.eye(10)[labels] + 0.1 * rng.normal(size=(600, 10))
    predicted = linear_classifier(x[:400], labels[:400])(x[400:])
    assert grouped_accuracy(predicted, labels[400:], 100).score > 0.99
    assert len(grouped_accuracy(predicted, labels[400:], 100).values) == 100


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(1)
    return {
        name: train(name, training_pool(), replace(TINY, teraflops=0.0008), MethodSettings(1e-3), 0, quiet)
        for name in METHOD_SETTINGS
    }


def test_methods_have_equal_training_flops(trained):
    spent = [flops for _, _, flops, _ in trained.values()]
    assert max(spent) / min(spent) < 1.1  # with so few steps, one step is a large share
    assert all(steps > 5 for *_, steps in trained.values())


def test_methods_start_from_equal_encoders():
    models = [build_calibrated(name, training_pool(), TINY, 0) for name in METHOD_SETTINGS]
    weights = [model.encoder.net[0].weight for model in models]
    assert all(torch.equal(weights[0], weight) for weight in weights)


def test_training_twice_gives_equal_weights(trained):
    settings = replace(TINY, teraflops=0.0008)
    again = train("seq-jepa-2", training_pool(), settings, MethodSettings(1e-3), 0, quiet)
    for old, new in zip(trained["seq-jepa-2"][0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(old, new)


def test_the_momentum_of_the_target_network_increases_to_one():
    class RecordingModel:
        def __init__(self):
            self.momenta = []

        def update_ema(self, momentum):
            self.momenta.append(momentum)

    model = RecordingModel()
    update = ema_updater(model, 0.9, 10)
    for _ in range(12):
        update()
    assert model.momenta[0] == pytest.approx(0.9)
    assert model.momenta == sorted(model.momenta)
    assert model.momenta[-1] == 1


def test_neighbors_are_other_objects_after_the_query_itself():
    views = training_pool()
    found = nearest_views(pixel_pca(views.frames[:, 0], 8), views, 3, 2)
    assert found.shape == (3, 3, 16, 16, 3)
    assert np.array_equal(found[:, 0], views.frames[:3, 0])
    assert not np.array_equal(found[:, 1], views.frames[:3, 0])


def test_latents_that_contain_the_rotation_score_high_and_shuffled_targets_do_not():
    config = ObjectsConfig("toy", 16, max_rotation=40)
    streams = (InvarianceStream.PROBE, InvarianceStream.SCORING)
    probe, scoring = (sample_objects(config, (0, stream), 150, 5) for stream in streams)
    rotations = {
        frame.tobytes(): rotation
        for views in (probe, scoring)
        for frame, rotation in zip(
            views.frames.reshape(-1, 16, 16, 3), views.rotations.reshape(-1, 4), strict=True
        )
    }

    def encode(frames):
        return np.stack([rotations[frame.tobytes()] for frame in frames])

    scores = latent_scores(encode, ProbeData(probe, scoring), (0,), 300, 64)
    assert scores["individual rotation, linear"].score > 0.99
    assert scores["relative rotation, MLP"].score > 0.9
    assert abs(scores["relative rotation, shuffled"].score) < 0.05
    assert scores["top-1, single latent"].score < 0.35
    assert len(scores["relative rotation, MLP"].values) == 150


def test_a_bar_below_the_axis_keeps_its_height_and_interval_and_is_labeled():
    estimates = [
        Estimate.from_scores([Score.single(value) for value in pair]) for pair in ((0.4, 0.6), (-3.0, -2.0))
    ]
    axis = Figure().subplots()
    draw_bars(axis, [*estimates, None], 0, 1, "planted", "#000000", -0.3)

    assert [bar.get_height() for bar in axis.patches] == [0.5, -2.5]
    for estimate, line in zip(estimates, axis.collections, strict=True):
        assert line.get_segments()[0][:, 1].tolist() == pytest.approx(estimate.interval)
    assert [(text.get_text(), text.get_position()[1]) for text in axis.texts] == [("-2.5", -0.3)]


@pytest.mark.parametrize("lowest", [-3.0, 0.2])
def test_the_axis_of_a_bar_chart_is_limited_only_if_bars_go_below_the_limit(lowest):
    axis = Figure().subplots()
    draw_bars(axis, [Estimate.from_scores([Score.single(lowest)])], 0, 1, "planted", "#000000")
    label_bars(axis, "title", "label")

    assert axis.get_ylim()[0] == (LOWEST_BAR if lowest < LOWEST_BAR else 0)


@pytest.mark.filterwarnings("ignore:.*LBFGS")
def test_all_conditions_run_reproducibly_and_fill_metrics_plots_and_notes():
    outcomes = {(name, 0): run(name, 0, TINY, quiet) for name in CONDITIONS}
    again = run("byol", 0, TINY, quiet)
    assert all(
        np.array_equal(score.values, outcomes["byol", 0].scores[name].values)
        for name, score in again.scores.items()
    )
    results = Results(outcomes, [0])
    assert len([metric for metric in metrics(results, TINY) if metric.threshold]) == 5
    assert all(isinstance(note, str) for note in notes(results, TINY))
    for figure in stored_plots(EXPERIMENT, results, TINY).values():
        figure.canvas.draw()

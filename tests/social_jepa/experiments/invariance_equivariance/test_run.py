from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from env.objects.dataset import ObjectsConfig
from env.objects.rotation import from_quaternions, relative_quaternions, to_quaternions
from social_jepa.experiments.common.plotting import LOWEST, draw_bars, finish
from social_jepa.experiments.common.probes import (
    grouped_accuracy,
    grouped_r2,
    linear_classifier,
    linear_probe,
    mlp_probe,
)
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.invariance_equivariance import run as invariance
from social_jepa.experiments.invariance_equivariance.data import (
    PROBE,
    SCORING,
    TRAINING,
    UNSEEN_PROBE,
    UNSEEN_SCORING,
    drawn,
    ordered_pairs,
    sequences,
    starts,
)
from social_jepa.experiments.invariance_equivariance.scores import Sets, code_scores, neighbours, pixel_pca
from social_jepa.experiments.invariance_equivariance.training import Recipe, prepared, target_mover, train

TINY = invariance.Settings(
    renderer="toy", frame_size=16, objects=40, probe_objects=40, scoring_objects=30, unseen_objects=20,
    dim=16, width=4, hidden=16, frames=64, teraflops=0.0005, probe_steps=5, probe_hidden=16,
)  # fmt: skip


def quiet(text: str) -> None:
    pass


def pool(purpose: int = TRAINING, seed: int = 0, objects: int = 40):
    return drawn(TINY.objects_config, (seed, purpose), objects, 4)


def test_sequences_carry_the_rotation_from_each_view_to_the_next():
    views = pool()
    frames, actions = sequences(views, np.random.default_rng(3), 10, 3)
    assert frames.shape == (10, 3, 16, 16, 3)
    assert actions.shape == (10, 2, 4)
    for row in range(10):
        shown = [np.argwhere((views.frames == frame).all((2, 3, 4)))[0] for frame in frames[row]]
        assert len({tuple(place) for place in shown}) == 3
        turned = views.rotations[tuple(np.array(shown).T)]
        composed = from_quaternions(actions[row, 0]) * from_quaternions(turned[0])
        assert np.allclose(to_quaternions(composed), turned[1], atol=1e-6)


def test_a_circle_of_views_holds_as_many_sequences_of_each_length():
    assert starts(5, 3).tolist()[4] == [4, 0, 1]
    assert all(len(starts(5, length)) == 5 for length in (1, 3, 5))
    assert len({tuple(pair) for pair in ordered_pairs(4).tolist()}) == 12


def test_sets_of_a_seed_share_no_object_and_unseen_classes_stay_unseen():
    sets = [invariance._drawn(TINY, 0, p) for p in (TRAINING, PROBE, SCORING, UNSEEN_PROBE, UNSEEN_SCORING)]
    stretches = [{row.tobytes() for row in views.stretches} for views in sets]
    assert sum(len(found) for found in stretches) == len(set().union(*stretches))
    seen, unseen = ({*np.concatenate([v.classes for v in part]).tolist()} for part in (sets[:3], sets[3:]))
    assert not seen & unseen


def test_equal_words_draw_equal_pixels():
    again = drawn.__wrapped__(TINY.objects_config, (0, TRAINING), 40, 4)
    assert np.array_equal(pool().frames, again.frames)


@pytest.mark.parametrize("probe", ["linear", "perceptron"])
def test_probes_recover_a_planted_linear_relation(probe):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 3))
    x, seen = rng.normal(size=(2000, 6)), rng.normal(size=(500, 6))
    y = x @ weight + 2.0
    fitted = linear_probe(x, y) if probe == "linear" else mlp_probe(x, y, [0, 1], 300, hidden=64)
    assert grouped_r2(fitted(seen), seen @ weight + 2.0, 100).score > 0.97


def test_the_perceptron_recovers_relative_rotations_that_ridge_regression_cannot():
    rng = np.random.default_rng(1)
    angles = rng.uniform(-60, 60, size=(6000, 2, 3))
    turns = to_quaternions(Rotation.from_euler("xyz", angles, degrees=True))
    x, y = turns.reshape(-1, 8), relative_quaternions(turns[:, 0], turns[:, 1])
    linear, perceptron = (
        linear_probe(x[:5000], y[:5000]),
        mlp_probe(x[:5000], y[:5000], [0, 2], 400, hidden=64),
    )
    scores = [grouped_r2(probe(x[5000:]), y[5000:], 1000).score for probe in (linear, perceptron)]
    assert scores[1] > 0.9
    assert scores[1] > scores[0] + 0.05


def test_probes_of_shuffled_targets_are_near_zero():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(4000, 5)), rng.normal(size=(4000, 2))
    assert abs(grouped_r2(linear_probe(x[:3000], y[:3000])(x[3000:]), y[3000:], 1000).score) < 0.03


def test_the_classifier_separates_what_can_be_separated_and_keeps_the_numbers_of_classes():
    rng = np.random.default_rng(3)
    labels = rng.choice([4, 7, 9], size=600)
    x = np.eye(10)[labels] + 0.1 * rng.normal(size=(600, 10))
    predicted = linear_classifier(x[:400], labels[:400])(x[400:])
    assert grouped_accuracy(predicted, labels[400:], 100).score > 0.99
    assert len(grouped_accuracy(predicted, labels[400:], 100).values) == 100


@pytest.fixture(scope="module")
def trained():
    recipe = Recipe(1e-3)
    torch.set_num_threads(1)
    return {
        part: train(part, pool(), replace(TINY.sizes, teraflops=0.0008), recipe, 0, quiet)
        for part in invariance.RECIPES
    }


def test_methods_spend_equal_operations(trained):
    spent = [flops for _, _, flops, _ in trained.values()]
    assert max(spent) / min(spent) < 1.1  # of few steps, the last one is a large share
    assert all(steps > 5 for *_, steps in trained.values())


def test_methods_start_from_equal_encoders():
    models = [prepared(part, pool(), TINY.sizes, 0) for part in invariance.RECIPES]
    weights = [model.encoder.net[0].weight for model in models]
    assert all(torch.equal(weights[0], weight) for weight in weights)


def test_training_twice_gives_equal_weights(trained):
    again = train("seq-jepa-2", pool(), replace(TINY.sizes, teraflops=0.0008), Recipe(1e-3), 0, quiet)
    for old, new in zip(trained["seq-jepa-2"][0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(old, new)


def test_the_target_moves_ever_more_slowly():
    class Told:
        def __init__(self):
            self.momenta = []

        def update_ema(self, momentum):
            self.momenta.append(momentum)

    told = Told()
    move = target_mover(told, 0.9, 10)
    for _ in range(12):
        move()
    assert told.momenta[0] == pytest.approx(0.9)
    assert told.momenta == sorted(told.momenta)
    assert told.momenta[-1] == 1


def test_neighbours_are_other_objects_after_the_query_itself():
    views = pool()
    found = neighbours(pixel_pca(views.frames[:, 0], 8), views, 3, 2)
    assert found.shape == (3, 3, 16, 16, 3)
    assert np.array_equal(found[:, 0], views.frames[:3, 0])
    assert not np.array_equal(found[:, 1], views.frames[:3, 0])


def test_codes_that_hold_the_rotation_score_high_and_shuffled_ones_do_not():
    config = ObjectsConfig("toy", 16, max_rotation=40)
    probe, scoring = (drawn(config, (0, word), 150, 5) for word in (PROBE, SCORING))
    told = {frame.tobytes(): turn for views in (probe, scoring)
            for frame, turn in zip(views.frames.reshape(-1, 16, 16, 3), views.rotations.reshape(-1, 4),
                                   strict=True)}  # fmt: skip

    def encode(frames):
        return np.stack([told[frame.tobytes()] for frame in frames])

    scores = code_scores(encode, Sets(probe, scoring), (0,), 300, 64)
    assert scores["individual, linear"].score > 0.99
    assert scores["relative, perceptron"].score > 0.9
    assert abs(scores["relative, shuffled"].score) < 0.05
    assert scores["top-1, one code"].score < 0.35
    assert len(scores["relative, perceptron"].values) == 150


def test_a_bar_below_the_floor_keeps_its_own_height_and_interval_and_the_axis_cuts_it():
    found = [
        Estimate.from_scores([Score.single(value) for value in pair]) for pair in ((0.4, 0.6), (-3.0, -2.0))
    ]
    axis = Figure().subplots()
    draw_bars(axis, [*found, None], 0, 1, "planted", "#000000", -0.3)

    assert [bar.get_height() for bar in axis.patches] == [0.5, -2.5]
    for estimate, drawn_at in zip(found, axis.collections, strict=True):
        assert drawn_at.get_segments()[0][:, 1].tolist() == pytest.approx(estimate.interval)
    assert [(text.get_text(), text.get_position()[1]) for text in axis.texts] == [("-2.5", -0.3)]


@pytest.mark.parametrize("deepest", [-3.0, 0.2])
def test_the_axis_of_a_bar_chart_ends_at_the_floor_only_where_bars_go_deeper(deepest):
    axis = Figure().subplots()
    draw_bars(axis, [Estimate.from_scores([Score.single(deepest)])], 0, 1, "planted", "#000000")
    finish(axis, "title", "label")

    assert axis.get_ylim()[0] == (LOWEST if deepest < LOWEST else 0)


@pytest.mark.filterwarnings("ignore:.*LBFGS")
def test_all_parts_run_and_their_results_fill_figures_pictures_and_notes():
    outcomes = {(part, 0): invariance.run(part, 0, TINY, quiet) for part in invariance.PARTS}
    again = invariance.run("byol", 0, TINY, quiet)
    assert all(
        np.array_equal(measure.values, outcomes["byol", 0].scores[name].values)
        for name, measure in again.scores.items()
    )
    results = Results(outcomes, [0])
    goals = [figure for figure in invariance.figures(results, TINY) if figure.threshold]
    assert len(goals) == 5
    assert all(isinstance(note, str) for note in invariance.notes(results, TINY))
    for picture in invariance.pictures(results, TINY).values():
        picture.canvas.draw()

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from env.appearance import ObjectView
from env.objects.dataset import ObjectDataset, ObjectsConfig, split_classes
from env.objects.rotation import from_quaternions, to_quaternions

SIZE = 32
TOY = ObjectsConfig(renderer="toy", frame_size=SIZE)
AHEAD, GRAY = np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.5])


@pytest.fixture(scope="module", params=["toy", pytest.param("miniworld", marks=pytest.mark.gl)])
def objects(request):
    built = ObjectDataset(replace(TOY, renderer=request.param))
    yield built
    built.close()


@pytest.fixture(scope="module")
def renderer(objects):
    return objects._renderer


def view(class_index, angles=(0, 0, 0), size=(1, 1, 1), light=AHEAD, background=GRAY):
    rotation = to_quaternions(Rotation.from_euler("xyz", angles, degrees=True))
    return ObjectView(
        class_index, rotation, np.array(size, dtype=float), np.array(light, dtype=float), np.array(background)
    )


def sample(objects, seed=0, count=6, views=4, split="seen"):
    return objects.sample(np.random.default_rng(seed), count, views, split)


def covered(frame):
    """Return the pixels that differ from the gray background, bool [H, W]."""
    return (np.abs(frame.astype(int) - 128) > 2).any(-1)


def test_views_are_arrays_of_the_documented_shapes(objects):
    views = sample(objects)
    assert views.frames.shape == (6, 4, SIZE, SIZE, 3)
    assert views.frames.dtype == np.uint8
    assert views.rotations.shape == (6, 4, 4)
    assert views.actions.shape == (6, 3, 4)
    assert views.classes.shape == (6,)
    assert np.allclose(np.linalg.norm(views.lights, axis=-1), 1)
    assert sample(objects, views=1).actions.shape == (6, 0, 4)


def test_actions_lead_from_view_to_view_and_compose(objects):
    views = sample(objects)
    actions, rotations = views.actions, views.rotations
    following = from_quaternions(actions) * from_quaternions(rotations[:, :-1])
    assert np.allclose(to_quaternions(following), rotations[:, 1:])
    total = from_quaternions(rotations[:, 0])
    for step in range(3):
        total = from_quaternions(actions[:, step]) * total
    assert np.allclose(to_quaternions(total), rotations[:, -1])


def test_equal_generators_give_equal_views_after_other_calls(objects):
    one, other, again = sample(objects, 1), sample(objects, 2), sample(objects, 1)
    assert (one.frames == again.frames).all()
    assert (one.rotations == again.rotations).all()
    assert (one.frames != other.frames).any((2, 3, 4)).all()


def test_a_frame_shows_the_parameters_of_the_other_arrays(objects, renderer):
    views = sample(objects, count=2, views=2)
    for n in range(2):
        for m in range(2):
            parameters = ObjectView(
                int(views.classes[n]),
                views.rotations[n, m],
                views.scales[n, m] * views.stretches[n],
                views.lights[n, m],
                views.backgrounds[n, m],
            )
            assert (renderer.render([parameters])[0] == views.frames[n, m]).all()


def test_every_class_is_visible_fits_into_the_picture_and_differs_from_the_others(objects, renderer):
    indices = range(len(objects.config.classes))
    assert len(indices) >= 10
    for angles in [(0, 0, 0), (20, 30, 40), (-50, 80, 10)]:
        frames = renderer.render([view(index, angles, size=(0.92,) * 3) for index in indices])
        masks = [covered(frame) for frame in frames]
        assert all(mask.mean() > 0.01 for mask in masks)
        assert not any(mask[[0, -1]].any() or mask[:, [0, -1]].any() for mask in masks)
        distances = [np.abs(a.astype(int) - b).mean() for i, a in enumerate(frames) for b in frames[:i]]
        assert min(distances) > 1


def test_a_rotation_about_the_line_of_sight_rotates_the_picture(objects, renderer):
    for index in range(len(objects.config.classes)):
        start = Rotation.from_euler("xyz", [30.0, 40.0, 0.0], degrees=True)
        quarter = Rotation.from_euler("z", 90.0, degrees=True)
        rotations = [to_quaternions(rotation) for rotation in (start, quarter * start)]
        views = [replace(view(index), rotation=rotation) for rotation in rotations]
        before, after = renderer.render(views).astype(int)
        assert np.abs(np.rot90(before) - after).mean() < 1.5  # OpenGL's sample pattern is not symmetric
        assert np.abs(before - after).mean() > 2


def test_size_light_and_background_follow_the_parameters(renderer):
    big, small, flat = renderer.render([view(0), view(0, size=(0.6,) * 3), view(0, size=(1, 0.4, 1))])
    assert 0.25 < covered(small).sum() / covered(big).sum() < 0.42
    assert np.flatnonzero(covered(flat).any(1)).size < 0.6 * np.flatnonzero(covered(big).any(1)).size
    lit, unlit = renderer.render([view(0), view(0, light=-AHEAD)]).astype(int)
    assert lit[covered(lit)].mean() > 1.5 * unlit[covered(lit)].mean()
    colored = renderer.render([view(0, background=(1.0, 0.0, 0.6))])[0]
    assert (colored[0, 0] == (255, 0, 153)).all()


def test_without_variation_all_views_of_a_class_are_equal(objects):
    fixed = replace(
        objects.config, max_rotation=0, min_scale=1, min_stretch=1, max_light_angle=0, background_range=0
    )
    dataset = ObjectDataset(fixed)
    views = sample(dataset, count=30, views=2)
    dataset.close()
    for index in np.unique(views.classes):
        frames = views.frames[views.classes == index].reshape(-1, SIZE * SIZE * 3)
        assert (frames == frames[0]).all()
    assert len(np.unique(views.classes)) > 5


def test_splits_partition_the_classes_and_keep_their_indices():
    config = replace(TOY, unseen_classes=4)
    splits = [set(split_classes(config, split).tolist()) for split in ("seen", "unseen", "all")]
    assert splits[0] | splits[1] == splits[2] == set(range(12))
    assert not splits[0] & splits[1]
    small = ObjectDataset(replace(config, frame_size=16))
    for split, classes in zip(("seen", "unseen", "all"), splits, strict=True):
        assert set(sample(small, count=100, views=1, split=split).classes.tolist()) == classes


def test_views_of_an_object_share_only_class_and_stretch():
    views = sample(ObjectDataset(replace(TOY, frame_size=16)), count=150, views=2)
    parameters = np.concatenate(
        [views.rotations, views.lights, views.backgrounds, views.scales[..., None]], -1
    )
    correlations = np.corrcoef(parameters[:, 0].T, parameters[:, 1].T)[:11, 11:]
    assert np.abs(correlations).max() < 0.35


def test_samples_stay_within_the_documented_ranges():
    config = replace(
        TOY,
        max_rotation=30,
        min_scale=0.5,
        min_stretch=0.9,
        max_light_angle=20,
        background_range=0.1,
        frame_size=16,
    )
    views = sample(ObjectDataset(config), count=100, views=2)
    assert 2 * np.degrees(np.arccos(views.rotations[..., 0])).max() < 30 * 3
    assert 0.5 <= views.scales.min() < 0.55 < 0.95 < views.scales.max() <= 1
    assert 0.9 <= views.stretches.min() < views.stretches.max() <= 1
    assert 0.5 <= views.backgrounds.min() < views.backgrounds.max() <= 0.7
    light_angles = np.degrees(np.arccos(views.lights @ (np.array([0, 1, 1]) / np.sqrt(2))))
    assert 15 < light_angles.max() <= 20 + 1e-6


def test_missing_opengl_is_explained_with_the_remedy():
    code = "from env.objects.dataset import *; ObjectDataset()"
    environment = {"__EGL_VENDOR_LIBRARY_DIRS": "/nowhere", "PYTHONPATH": ":".join(sys.path)}
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert failed.returncode == 1
    assert "set renderer to toy" in failed.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"renderer": "blender"}, "miniworld, toy"),
        ({"frame_size": 8}, "frame_size"),
        ({"unseen_classes": 12}, "unseen_classes must be an integer from 0 to 11"),
        ({"max_rotation": 181}, "max_rotation"),
        ({"min_scale": 0}, "min_scale"),
        ({"min_stretch": 1.1}, "min_stretch"),
        ({"max_light_angle": float("nan")}, "max_light_angle"),
        ({"background_range": "gray"}, "background_range"),
    ],
)
def test_each_invalid_setting_is_rejected_with_its_name(settings, field):
    with pytest.raises(ValueError, match=field):
        replace(TOY, **settings)


def test_invalid_arguments_of_sample_are_rejected():
    toy = ObjectDataset(replace(TOY, unseen_classes=0))
    with pytest.raises(ValueError, match="objects"):
        sample(toy, count=0)
    with pytest.raises(ValueError, match="views"):
        sample(toy, views=0)
    with pytest.raises(ValueError, match="seen, unseen, all"):
        sample(toy, split="test")
    with pytest.raises(ValueError, match="set unseen_classes to 1"):
        sample(toy, split="unseen")

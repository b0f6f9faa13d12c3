import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from env.appearance import Look
from env.objects.dataset import Objects, ObjectsConfig, split_classes
from env.objects.rotation import from_euler, multiply

SIZE = 32
TOY = ObjectsConfig(renderer="toy", frame_size=SIZE)
AHEAD, GREY = np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.5])


@pytest.fixture(scope="module", params=["toy", pytest.param("miniworld", marks=pytest.mark.gl)])
def objects(request):
    built = Objects(replace(TOY, renderer=request.param))
    yield built
    built.close()


@pytest.fixture(scope="module")
def drawer(objects):
    return objects._drawer


def look(kind, angles=(0, 0, 0), size=(1, 1, 1), light=AHEAD, background=GREY):
    rotation = from_euler(np.array(angles, dtype=float))
    return Look(
        kind, rotation, np.array(size, dtype=float), np.array(light, dtype=float), np.array(background)
    )


def sample(objects, seed=0, count=6, views=4, split="seen"):
    return objects.sample(np.random.default_rng(seed), count, views, split)


def covered(frame):
    """Which pixels do not show the grey background, bool [H, W]."""
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
    assert np.allclose(multiply(views.actions, views.rotations[:, :-1]), views.rotations[:, 1:])
    total = views.rotations[:, 0]
    for step in range(3):
        total = multiply(views.actions[:, step], total)
    assert np.allclose(total, views.rotations[:, -1])


def test_equal_generators_give_equal_views_whatever_was_drawn_before(objects):
    one, other, again = sample(objects, 1), sample(objects, 2), sample(objects, 1)
    assert (one.frames == again.frames).all()
    assert (one.rotations == again.rotations).all()
    assert (one.frames != other.frames).any((2, 3, 4)).all()


def test_a_frame_shows_what_the_other_arrays_say(objects, drawer):
    views = sample(objects, count=2, views=2)
    for n in range(2):
        for m in range(2):
            told = Look(
                int(views.classes[n]),
                views.rotations[n, m],
                views.scales[n, m] * views.stretches[n],
                views.lights[n, m],
                views.backgrounds[n, m],
            )
            assert (drawer.draw([told])[0] == views.frames[n, m]).all()


def test_every_class_stands_out_fits_into_the_picture_and_looks_like_no_other(objects, drawer):
    kinds = range(len(objects.config.classes))
    assert len(kinds) >= 10
    for angles in [(0, 0, 0), (20, 30, 40), (-50, 80, 10)]:
        frames = drawer.draw([look(kind, angles, size=(0.92,) * 3) for kind in kinds])
        seen = [covered(frame) for frame in frames]
        assert all(pixels.mean() > 0.01 for pixels in seen)
        assert not any(pixels[[0, -1]].any() or pixels[:, [0, -1]].any() for pixels in seen)
        apart = [np.abs(a.astype(int) - b).mean() for i, a in enumerate(frames) for b in frames[:i]]
        assert min(apart) > 1


def test_a_turn_about_the_line_of_sight_turns_the_picture(objects, drawer):
    for kind in range(len(objects.config.classes)):
        start = from_euler(np.array([30.0, 40.0, 0.0]))
        quarter = from_euler(np.array([0.0, 0.0, 90.0]))
        looks = [replace(look(kind), rotation=rotation) for rotation in (start, multiply(quarter, start))]
        before, after = drawer.draw(looks).astype(int)
        assert np.abs(np.rot90(before) - after).mean() < 1.5  # OpenGL's samples in a pixel lie crookedly
        assert np.abs(before - after).mean() > 2


def test_size_light_and_background_are_as_told(drawer):
    big, small, flat = drawer.draw([look(0), look(0, size=(0.6,) * 3), look(0, size=(1, 0.4, 1))])
    assert 0.25 < covered(small).sum() / covered(big).sum() < 0.42
    assert np.flatnonzero(covered(flat).any(1)).size < 0.6 * np.flatnonzero(covered(big).any(1)).size
    lit, unlit = drawer.draw([look(0), look(0, light=-AHEAD)]).astype(int)
    assert lit[covered(lit)].mean() > 1.5 * unlit[covered(lit)].mean()
    colored = drawer.draw([look(0, background=(1.0, 0.0, 0.6))])[0]
    assert (colored[0, 0] == (255, 0, 153)).all()


def test_where_nothing_may_vary_all_views_of_a_class_are_equal(objects):
    fixed = replace(objects.config, turn=0, scale=1, stretch=1, light=0, background=0)
    still = Objects(fixed)
    views = sample(still, count=30, views=2)
    still.close()
    for kind in np.unique(views.classes):
        frames = views.frames[views.classes == kind].reshape(-1, SIZE * SIZE * 3)
        assert (frames == frames[0]).all()
    assert len(np.unique(views.classes)) > 5


def test_classes_are_split_and_their_numbers_stay():
    config = replace(TOY, unseen=4)
    parts = [set(split_classes(config, split).tolist()) for split in ("seen", "unseen", "all")]
    assert parts[0] | parts[1] == parts[2] == set(range(12))
    assert not parts[0] & parts[1]
    small = Objects(replace(config, frame_size=16))
    for split, part in zip(("seen", "unseen", "all"), parts, strict=True):
        assert set(sample(small, count=100, views=1, split=split).classes.tolist()) == part


def test_views_of_an_object_share_only_class_and_stretch():
    views = sample(Objects(replace(TOY, frame_size=16)), count=150, views=2)
    drawn = np.concatenate([views.rotations, views.lights, views.backgrounds, views.scales[..., None]], -1)
    both = np.corrcoef(drawn[:, 0].T, drawn[:, 1].T)[:11, 11:]
    assert np.abs(both).max() < 0.35


def test_draws_keep_to_the_documented_ranges():
    config = replace(TOY, turn=30, scale=0.5, stretch=0.9, light=20, background=0.1, frame_size=16)
    views = sample(Objects(config), count=100, views=2)
    assert 2 * np.degrees(np.arccos(views.rotations[..., 0])).max() < 30 * 3
    assert 0.5 <= views.scales.min() < 0.55 < 0.95 < views.scales.max() <= 1
    assert 0.9 <= views.stretches.min() < views.stretches.max() <= 1
    assert 0.5 <= views.backgrounds.min() < views.backgrounds.max() <= 0.7
    straying = np.degrees(np.arccos(views.lights @ (np.array([0, 1, 1]) / np.sqrt(2))))
    assert 15 < straying.max() <= 20 + 1e-6


def test_missing_opengl_is_explained_with_the_remedy():
    code = "from env.objects.dataset import *; Objects()"
    surroundings = {"__EGL_VENDOR_LIBRARY_DIRS": "/nowhere", "PYTHONPATH": ":".join(sys.path)}
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings)
    assert failed.returncode == 1
    assert "choose renderer toy" in failed.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"renderer": "blender"}, "miniworld, toy"),
        ({"frame_size": 8}, "frame_size"),
        ({"unseen": 12}, "unseen must be a whole number from 0 to 11"),
        ({"turn": 181}, "turn"),
        ({"scale": 0}, "scale"),
        ({"stretch": 1.1}, "stretch"),
        ({"light": float("nan")}, "light"),
        ({"background": "grey"}, "background"),
    ],
)
def test_each_bad_setting_is_refused_by_name(settings, field):
    with pytest.raises(ValueError, match=field):
        replace(TOY, **settings)


def test_what_cannot_be_sampled_is_refused():
    toy = Objects(replace(TOY, unseen=0))
    with pytest.raises(ValueError, match="objects"):
        sample(toy, count=0)
    with pytest.raises(ValueError, match="views"):
        sample(toy, views=0)
    with pytest.raises(ValueError, match="seen, unseen, all"):
        sample(toy, split="test")
    with pytest.raises(ValueError, match="set unseen to 1"):
        sample(toy, split="unseen")

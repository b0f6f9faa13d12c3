from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from env.shapes import SHAPES, identities_at

POSE = ring_pose(0, RingConfig())
CLOSE = Pose(2.5, 1.2, 0.0, 180, -20)
TOY = SceneConfig(renderer="toy", shapes=("box", "square", "triangle"), identity_ticks=10)

both_renderers = pytest.mark.parametrize("kind", ["toy", pytest.param("miniworld", marks=pytest.mark.gl)])


def test_objects_are_boxes_by_default():
    scene = Scene(SceneConfig(), 0)
    assert scene.state(5).identities.tolist() == [0, 0, 0]
    assert SceneConfig().shapes == ("box",)


def test_without_changes_object_k_keeps_shape_k():
    scene = Scene(replace(TOY, objects=5, identity_ticks=0), 0)
    for tick in (0, 5000):
        assert scene.state(tick).identities.tolist() == [0, 1, 2, 0, 1]


def test_identities_change_only_between_periods_and_in_any_order_of_requests():
    ticks = np.arange(2000)
    found = identities_at(0, 3, 3, 10, ticks)
    assert (identities_at(0, 3, 3, 10, ticks[::-1])[::-1] == found).all()
    changes = np.flatnonzero((found[1:] != found[:-1]).any(1)) + 1
    assert (changes % 10 == 0).all()
    assert len(changes) > 150
    scene = Scene(TOY, 0)
    assert all((scene.state(tick).identities == found[tick]).all() for tick in (0, 9, 10, 1999))
    assert (scene.identities(ticks) == found).all()
    assert identities_at(0, 3, 3, 10, ticks[:0]).shape == (0, 3)


def test_identities_are_uniform_and_independent_of_objects_periods_and_seeds():
    draws = identities_at(0, 3, 4, 1, np.arange(8000))
    assert np.abs(np.stack([np.bincount(row) for row in draws.T]) / 2000 - 1).max() < 0.1
    other = identities_at(1, 3, 4, 1, np.arange(8000))
    for a, b in [(draws[:, 0], draws[:, 1]), (draws[1:, 0], draws[:-1, 0]), (draws[:, 0], other[:, 0])]:
        assert abs((a == b).mean() - 0.25) < 0.02
    assert (identities_at(0, 5, 4, 1, np.arange(50))[:, :3] == draws[:50]).all()


def test_a_state_cannot_be_written_to():
    for config in (TOY, SceneConfig()):
        with pytest.raises(ValueError, match="read-only"):
            Scene(config, 0).state(0).identities[0] = 1


@both_renderers
def test_every_shape_looks_different_and_stays_where_its_object_is(kind):
    shapes, far = SHAPES[kind], np.array([[-50.0, 0.0]])
    config = SceneConfig(renderer=kind, objects=1, frame_size=64, shapes=shapes, bodies=False)
    renderer, state = build_renderer(config), Scene(config, 0).state(0)
    empty = renderer.render(replace(state, positions=far), CLOSE).astype(int)
    frames = []
    for k in range(len(shapes)):
        at = replace(state, positions=np.zeros((1, 2)), identities=np.array([k]))
        frames.append(renderer.render(at, CLOSE).astype(int))
        assert (frames[-1] == renderer.render(at, CLOSE)).all()
    renderer.close()
    boxes = np.abs(frames[0] - empty).max(-1) > 20
    rows, columns = np.nonzero(boxes)
    for k, frame in enumerate(frames):
        changed = np.abs(frame - empty).max(-1) > 20
        assert changed.sum() > 50, shapes[k]
        outside = changed.copy()
        outside[rows.min() - 1 : rows.max() + 2, columns.min() - 1 : columns.max() + 2] = False
        assert not outside.any(), shapes[k]
        for other in range(k):
            assert (np.abs(frame - frames[other]).max(-1) > 20).sum() > 20, (shapes[k], shapes[other])


@both_renderers
def test_two_objects_of_one_shape_differ_in_color(kind):
    shapes = SHAPES[kind]
    config = SceneConfig(renderer=kind, objects=2, frame_size=64, shapes=shapes, bodies=False)
    renderer, state = build_renderer(config), Scene(config, 0).state(0)
    for k in range(len(shapes)):
        frames = [
            renderer.render(
                replace(state, positions=np.array(places), identities=np.array([k, k])), CLOSE
            ).astype(int)
            for places in ([(0.0, 0.0), (-50.0, 0.0)], [(-50.0, 0.0), (0.0, 0.0)])
        ]
        assert (np.abs(frames[0] - frames[1]).max(-1) > 60).sum() > 20, shapes[k]
    renderer.close()


@pytest.mark.gl
def test_a_default_frame_is_the_same_among_other_shapes():
    plain = SceneConfig(frame_size=32)
    rich = replace(plain, shapes=("box", "duckie", "tile_box", "ball"))
    frames = []
    for config in (plain, rich):
        renderer, state = build_renderer(config), Scene(config, 0).state(3)
        busy = replace(state, identities=np.arange(3) % len(config.shapes))
        renderer.render(busy, POSE)
        frames.append(renderer.render(replace(state, identities=np.zeros(3, dtype=int)), POSE))
        renderer.close()
    assert (frames[0] == frames[1]).all()


def test_how_identities_look_is_no_part_of_the_fingerprint_and_when_they_change_is():
    fingerprint = Scene(SceneConfig(), 0).fingerprint
    assert Scene(replace(SceneConfig(), shapes=("ball", "cone")), 0).fingerprint == fingerprint
    changing = Scene(SceneConfig(shapes=("ball", "cone", "box"), identity_ticks=10), 0).fingerprint
    assert changing == Scene(TOY, 0).fingerprint != fingerprint
    assert Scene(replace(TOY, identity_ticks=20), 0).fingerprint != changing
    assert Scene(replace(TOY, shapes=("box", "square")), 0).fingerprint != changing


def test_the_memory_of_the_scene_spans_an_identity():
    assert TOY.decorrelation_ticks == 20
    assert replace(TOY, identity_ticks=300).decorrelation_ticks == 300


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shapes": ("duckie",)}, "shapes of renderer toy are box, .*got 'duckie'"),
        ({"shapes": ()}, "one shape or more"),
        ({"shapes": ("box", "box")}, "each once"),
        ({"identity_ticks": -1}, "identity_ticks"),
        ({"identity_ticks": 5}, "add another to shapes"),
    ],
)
def test_shapes_that_cannot_be_drawn_are_rejected_with_the_remedy(settings, message):
    with pytest.raises(ValueError, match=message):
        SceneConfig(renderer="toy", **settings)


def test_shapes_may_be_a_list_or_one_name():
    assert SceneConfig(shapes="ball").shapes == SceneConfig(shapes=["ball"]).shapes == ("ball",)


def test_a_custom_renderer_names_its_own_shapes():
    config = SceneConfig(renderer="somewhere:Drawing", shapes=("star", "moon"), identity_ticks=5)
    assert config.shapes == ("star", "moon")

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from env.camera import Pose, RingConfig, ring_pose
from env.dynamics.registry import DYNAMICS
from env.scene import BodyEvent, Scene, SceneConfig

POSE = Pose(4.8, 3.2, 0, 180, -35)


def same(a, b):
    return (a.factors == b.factors).all() and (a.positions == b.positions).all() and a.bodies == b.bodies


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_equal_scenes_have_equal_states_in_any_order_of_requests(dynamics):
    config = SceneConfig(dynamics=dynamics)
    a, b = Scene(config, 4), Scene(config, 4)
    forward = [a.state(tick) for tick in range(0, 3000, 37)]
    backward = [b.state(tick) for tick in reversed(range(0, 3000, 37))]
    assert all(same(x, y) for x, y in zip(forward, reversed(backward), strict=True))


def test_another_process_has_the_same_state_bit_for_bit():
    code = (
        "from env.scene import *; s = Scene(SceneConfig(), 4);"
        "print(s.state(70_000).positions.tobytes().hex(), s.fingerprint)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    here = Scene(SceneConfig(), 4)
    assert printed == [here.state(70_000).positions.tobytes().hex(), here.fingerprint]


def test_scenes_of_different_seeds_have_different_states_and_fingerprints():
    a, b = Scene(SceneConfig(), 1), Scene(SceneConfig(), 2)
    assert not np.isclose(a.state(9).positions, b.state(9).positions).any()
    assert a.fingerprint != b.fingerprint


def test_a_number_is_the_same_setting_in_whatever_type():
    config = SceneConfig(room_size=8.0, objects=3, object_areas=((1.0, 0.0, 1.0, 2.0),) * 3)
    others = SceneConfig(
        room_size=8,
        objects=np.int64(3),
        object_areas=((np.int32(1), 0, np.float32(1), 2),) * 3,
    )

    assert Scene(others, np.int64(5)).fingerprint == Scene(config, 5).fingerprint
    assert Scene(replace(config, room_size=8.5), 5).fingerprint != Scene(config, 5).fingerprint


def test_a_room_in_which_miniworld_would_draw_nothing_far_away_is_refused():
    with pytest.raises(ValueError, match=r"room_size must be at most 70 .* set renderer to batch or toy"):
        SceneConfig(room_size=71.0)
    assert SceneConfig(room_size=71.0, renderer="toy").room_size == 71.0


def test_the_fingerprint_depends_on_motion_and_not_on_appearance():
    config = SceneConfig()
    fingerprint = Scene(config, 1).fingerprint
    assert len(bytes.fromhex(fingerprint)) == 8
    redrawn = replace(config, renderer="toy", frame_size=32, bodies=False)
    assert Scene(redrawn, 1).fingerprint == fingerprint
    assert Scene(replace(config, autocorrelation=(0.7,) * 6), 1).fingerprint == fingerprint
    assert Scene(replace(config, coupling=0.1), 1).fingerprint == fingerprint  # this motion does not use it
    coupled = replace(config, dynamics="coupled")
    assert Scene(coupled, 1).fingerprint != Scene(replace(coupled, coupling=0.1), 1).fingerprint
    for change in (
        {"autocorrelation": (0.6,)},
        {"objects": 2},
        {"dynamics": "bounce"},
        {"object_range": 3.0},
        {"object_size": 0.5},
    ):
        assert Scene(replace(config, **change), 1).fingerprint != fingerprint


def test_factors_are_the_factors_of_the_states():
    scene = Scene(SceneConfig(objects=2), 0)
    ticks = np.array([7, 2000, 0])
    assert (scene.factors(ticks) == np.stack([scene.state(int(tick)).factors for tick in ticks])).all()
    assert scene.factors(np.array([], dtype=int)).shape == (0, 4)


def test_ornstein_uhlenbeck_positions_are_the_tanh_of_the_factors():
    state = Scene(SceneConfig(), 0).state(11)
    np.testing.assert_allclose(state.positions.ravel(), 3.4 * np.tanh(0.45 * state.factors))
    assert state.yaws.tolist() == [0, 0, 0]


def test_a_state_cannot_be_written_to():
    state = Scene(SceneConfig(), 0).state(11)
    for array in (state.factors, state.positions, state.yaws):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_body_events_change_only_bodies():
    other = replace(POSE, x=-4.8, yaw=0)
    events = [
        BodyEvent(20, "b", None),
        BodyEvent(5, "b", POSE),
        BodyEvent(10, "a", other),
        BodyEvent(10, "b", other),
    ]
    plain, busy = Scene(SceneConfig(), 0), Scene(SceneConfig(), 0, events)
    assert plain.fingerprint == busy.fingerprint
    for tick in (0, 5, 10, 20, 30):
        assert (plain.state(tick).positions == busy.state(tick).positions).all()
    bodies = {tick: busy.state(tick).bodies for tick in (4, 5, 9, 10, 19, 20, 10**6)}
    assert bodies[4] == ()
    assert bodies[5] == bodies[9] == (("b", POSE),)
    assert bodies[10] == bodies[19] == (("a", other), ("b", other))
    assert bodies[20] == bodies[10**6] == (("a", other),)


def test_a_scene_without_bodies_has_none():
    assert Scene(SceneConfig(bodies=False), 0, [BodyEvent(0, "a", POSE)]).state(3).bodies == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("renderer", "unreal"),
        ("dynamics", "brownian"),
        ("objects", 0),
        ("objects", 13),
        ("objects", 2.0),
        ("objects", True),
        ("autocorrelation", (1.0,)),
        ("autocorrelation", (-0.1,)),
        ("autocorrelation", (float("nan"),)),
        ("autocorrelation", (0.7, 0.7)),
        ("autocorrelation", ()),
        ("autocorrelation", "0.7"),
        ("object_range", "3"),
        ("frame_size", 15),
        ("frame_size", 64.0),
        ("room_size", -1.0),
        ("wall_height", 0.0),
        ("object_size", float("nan")),
        ("object_range", 4.0),
        ("tanh_gain", 0.0),
        ("bodies", "no"),
        ("coupling", -0.1),
        ("coupling", 0.96),
        ("coupling", "strong"),
        ("dynamics", 3),
    ],
)
def test_each_invalid_setting_is_rejected_with_its_name(field, value):
    with pytest.raises(ValueError, match=field):
        SceneConfig(**{field: value})


@pytest.mark.parametrize(("field", "choice"), [("renderer", "toy"), ("dynamics", "bounce")])
def test_an_unknown_choice_is_rejected_with_the_choices(field, choice):
    with pytest.raises(ValueError, match=choice):
        SceneConfig(**{field: "?"})


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"dynamics": "collide", "objects": 1}, "set dynamics to bounce"),
        ({"dynamics": "collide", "objects": 12, "object_size": 1.2}, "lower objects or object_size"),
        ({"dynamics": "coupled", "autocorrelation": 0.9995}, "autocorrelation .* 0.999"),
    ],
)
def test_settings_that_do_not_suit_the_motion_are_rejected_with_the_remedy(settings, remedy):
    with pytest.raises(ValueError, match=remedy):
        SceneConfig(**settings)


def test_actions_of_coupled_dynamics_are_white_noise():
    scene = Scene(SceneConfig(dynamics="coupled", autocorrelation=(0.9, 0.5) * 3), 2)
    actions = scene.actions(np.arange(3000))
    assert np.abs(np.cov(actions.T) - np.eye(6)).max() < 0.1
    assert np.abs(actions[1:].T @ actions[:-1] / 2999).max() < 0.1


def test_autocorrelation_may_be_a_list_or_a_number():
    assert SceneConfig(autocorrelation=[0.5, 0.6], objects=1) == SceneConfig(
        autocorrelation=(0.5, 0.6), objects=1
    )
    assert SceneConfig(autocorrelation=0.5).coordinate_autocorrelations == (0.5,) * 6


def test_a_negative_tick_and_a_seed_that_is_not_an_integer_are_rejected():
    scene = Scene(SceneConfig(), 0)
    with pytest.raises(ValueError, match="tick"):
        scene.state(-1)
    with pytest.raises(ValueError, match="tick"):
        scene.factors(np.array([3, -1]))
    with pytest.raises(ValueError, match="tick"):
        Scene(SceneConfig(), 0, [BodyEvent(-1, "a", POSE)])
    with pytest.raises(ValueError, match="seed"):
        Scene(SceneConfig(), 0.5)


def test_every_pose_on_the_ring_is_valid():
    scene = Scene(SceneConfig(), 0)
    for index in range(16):
        scene.check_pose(ring_pose(index, RingConfig()))
    scene.check_pose(Pose(0, 3, 0, 0, -89))


@pytest.mark.parametrize(
    ("pose", "remedy"),
    [
        (Pose(4.8, 0, 0, 180, 0), "raise y above 0"),
        (Pose(4.8, -1, 0, 180, 0), "raise y above 0"),
        (Pose(3.0, 0.5, 1.0, 180, 0), "raise y above 0.9"),
        (Pose(4.8, 3.2, 0, 0, -35), "turn yaw and pitch"),
        (Pose(4.8, 3.2, 0, 180, 60), "turn yaw and pitch"),
    ],
)
def test_an_invalid_pose_is_rejected_with_the_remedy(pose, remedy):
    with pytest.raises(ValueError, match=remedy):
        Scene(SceneConfig(), 0).check_pose(pose)


@pytest.mark.parametrize(("rho", "ticks"), [(0.7, 20), (0.99, 688), (0.0, 0)])
def test_decorrelation_ticks_follow_from_the_autocorrelation(rho, ticks):
    assert SceneConfig(autocorrelation=(rho,)).decorrelation_ticks == ticks


@pytest.mark.parametrize(
    ("settings", "ticks"),
    [
        ({"dynamics": "static"}, 0),
        ({"dynamics": "bounce"}, 96),
        ({"dynamics": "collide"}, 384),
        ({"dynamics": "collide", "objects": 12}, 1536),
        ({"dynamics": "coupled"}, 41),
        ({"dynamics": "coupled", "coupling": 0.0}, 22),
    ],
)
def test_every_kind_of_motion_states_its_memory(settings, ticks):
    assert SceneConfig(**settings).decorrelation_ticks == ticks

import numpy as np
import pytest

from env.camera import Pose, RingConfig, camera_axes, ring_pose, to_camera, turned_pose, view_angles


def test_a_pose_is_parsed_from_text():
    assert Pose.parse("1, 2, 3, 90, -35") == Pose(1, 2, 3, 90, -35)
    assert Pose.parse("1,2,3,90,-35,75").fov == 75


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5,6,7", "a,b,c,d,e"])
def test_text_that_is_not_a_pose_is_rejected_with_the_format(text):
    with pytest.raises(ValueError, match="x,y,z,yaw,pitch"):
        Pose.parse(text)


@pytest.mark.parametrize(
    ("field", "value"), [("x", float("nan")), ("y", float("inf")), ("pitch", 95), ("fov", 0), ("fov", 180)]
)
def test_an_invalid_pose_is_rejected_with_the_name_of_its_field(field, value):
    with pytest.raises(ValueError, match=f"{field} of a pose"):
        Pose(**{"x": 0, "y": 1, "z": 0, "yaw": 0, "pitch": 0} | {field: value})


def test_yaw_0_looks_along_x_and_yaw_90_along_minus_z():
    np.testing.assert_allclose(camera_axes(Pose(0, 0, 0, 0, 0))[2], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(camera_axes(Pose(0, 0, 0, 90, 0))[2], [0, 0, -1], atol=1e-12)
    assert camera_axes(Pose(0, 0, 0, 20, -35))[2, 1] < 0


def test_camera_axes_are_orthonormal_and_up_points_up():
    axes = camera_axes(Pose(0, 0, 0, 33, -35))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert axes[1, 1] > 0


@pytest.mark.parametrize("yaw", [0.0, 5.0, 180.0, 355.0])
def test_view_angles_invert_turned_pose(yaw):
    pose = Pose(0, 1, 0, yaw, -35)
    for pan, tilt in [(0, 0), (12, -3), (-12, 3), (170, 20)]:
        assert view_angles(pose, turned_pose(pose, pan, tilt)) == pytest.approx((pan, tilt))
    assert view_angles(pose, turned_pose(pose, 0, -80))[1] == pytest.approx(-54)  # clipped


def test_every_camera_on_the_ring_faces_the_center():
    for index in range(16):
        pose = ring_pose(index, RingConfig(separation=50), room_center=(1.0, -2.0))
        right, _, depth = to_camera(pose, np.array([1.0, 0.0, -2.0]))
        assert abs(right) < 1e-9
        assert depth > 0


@pytest.mark.parametrize("separation", [360.0, 120.0, 100.0, 90.0, 77.0, 45.0, 1.0])
def test_the_first_cameras_on_the_ring_are_at_different_positions(separation):
    positions = np.array(
        [(p.x, p.z) for p in (ring_pose(k, RingConfig(separation=separation)) for k in range(16))]
    )
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1) + 9 * np.eye(16)
    assert distances.min() > 0.05


def test_the_first_cameras_are_at_multiples_of_the_separation():
    yaws = [ring_pose(k, RingConfig()).yaw for k in range(5)]
    np.testing.assert_allclose(yaws, [180, 270, 0, 90, 225])


def test_an_invalid_ring_and_an_invalid_index_are_rejected():
    with pytest.raises(ValueError, match="separation"):
        RingConfig(separation=0)
    with pytest.raises(ValueError, match="radius"):
        RingConfig(radius=-1)
    with pytest.raises(ValueError, match="index"):
        ring_pose(-1, RingConfig())


def test_turned_pose_turns_the_camera_and_clips_the_pitch():
    pose = Pose(0, 3, 0, 350, -35)
    assert turned_pose(pose, 20, 5) == Pose(0, 3, 0, 10, -30)
    assert turned_pose(pose, 0, -80).pitch == -89
    assert turned_pose(pose, 0, 0) == pose

"""Whether a camera can stand at a pose: out of reach of objects and walls, and with something to see."""

from functools import lru_cache
from typing import Protocol

import numpy as np

from env.camera import MAX_PITCH, Pose, in_view
from env.camera_motion import CameraMotionConfig
from env.interior_walls import distance_to_wall, wall_hits
from env.object_areas import Room

CLEARANCE = 0.1  # meters between a camera and an interior wall; renderers clip what is nearer than 0.05
PLACES = (17, 3, 17)  # along x, y and z of an area, where it is tested whether a camera sees an object


class WatchedRoom(Room, Protocol):
    """The settings of a scene that a camera's pose must suit, see `env.scene.SceneConfig`."""

    @property
    def camera_motion(self) -> CameraMotionConfig:
        """How cameras move around their poses."""


def check_pose(config: WatchedRoom, pose: Pose) -> None:
    """Raise ValueError for a camera that objects or walls touch, or that sees no place of an object."""
    if pose.view is not None:
        raise ValueError(
            f"{pose} names a view of a source of frames, and this scene is rendered: write x,y,z,yaw,pitch, "
            "or set scene.source"
        )
    if pose.y <= 0:
        raise ValueError(f"the camera is at or below the floor (y = {pose.y:g}): raise y above 0")
    tilt = config.camera_motion.tilt
    if abs(pose.pitch) + tilt > MAX_PITCH:
        raise ValueError(
            f"camera_motion.tilt={tilt:g} turns a camera of pitch {pose.pitch:g} past straight up or down: "
            f"lower it to {MAX_PITCH - abs(pose.pitch):g} or less, or level the camera"
        )
    _check_reach(config, pose)
    _check_walls(config, pose)
    places = _object_places(config)
    visible = places[in_view(pose, places)]
    if not len(visible):
        raise ValueError(
            "the camera sees nothing of the area where objects move: turn yaw and pitch towards the "
            f"center (0, {config.object_size / 2:g}, 0), or widen fov, got {pose}"
        )
    eye = np.array([pose.x, pose.y, pose.z])
    steps, _ = wall_hits(config.interior_walls, eye, visible - eye)
    if not (steps > 1).any():
        raise ValueError(
            "interior walls hide all places where objects move from the camera: raise its y above "
            f"interior_walls.height = {config.interior_walls.height:g}, or move it, got {pose}"
        )


def _check_reach(config: WatchedRoom, pose: Pose) -> None:
    margin = config.object_size / 2 + config.camera_motion.reach
    for x, z, *ranges in config.areas.tolist():
        half_x, half_z = (value + margin for value in ranges)
        if abs(pose.x - x) <= half_x and abs(pose.z - z) <= half_z and pose.y <= config.object_size:
            raise ValueError(
                f"objects can reach the camera at x = {pose.x:g}, z = {pose.z:g}: raise y above "
                f"{config.object_size:g}, or move more than {half_x:g} meters along x or {half_z:g} along z "
                f"from the center ({x:g}, {z:g}) of the area where one moves{_walking(config)}"
            )


def _walking(config: WatchedRoom) -> str:
    walk = config.camera_motion.walk
    return f"; the camera walks {walk:g} meters: lower camera_motion.walk" if walk else ""


def _check_walls(config: WatchedRoom, pose: Pose) -> None:
    walls, clearance = config.interior_walls, CLEARANCE + config.camera_motion.reach
    for index, segment in enumerate(walls.segments):
        if pose.y <= walls.height and distance_to_wall(segment, pose.x, pose.z) <= clearance:
            raise ValueError(
                f"the camera at x = {pose.x:g}, z = {pose.z:g} stands in interior wall {index}, or "
                f"walks through it: raise y above {walls.height:g}, or move it more than {clearance:.2g} "
                "meters away"
            )


def _object_places(config: WatchedRoom) -> np.ndarray:
    """Return a grid of points where objects can be, [areas, 17, 3, 17, 3]."""
    return _grid(tuple(map(tuple, np.unique(config.areas, axis=0).tolist())), config.object_size)


@lru_cache(maxsize=4)  # the poses of all agents of a run are checked one after the other
def _grid(areas: tuple[tuple[float, ...], ...], object_size: float) -> np.ndarray:
    grids = []
    for x, z, *ranges in areas:
        half_x, half_z = (value + object_size / 2 for value in ranges)
        across = (
            np.linspace(x - half_x, x + half_x, PLACES[0]),
            np.linspace(z - half_z, z + half_z, PLACES[2]),
        )
        heights = np.linspace(0, object_size, PLACES[1])
        grids.append(np.stack(np.meshgrid(across[0], heights, across[1]), axis=-1))
    return np.stack(grids)

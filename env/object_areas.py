"""Areas of the floor that objects move in: inside the room, and on one side of every interior wall."""

import math
from typing import Protocol

import numpy as np

from env.checks import check_number, check_positive
from env.interior_walls import InteriorWallsConfig, crosses_rectangle

Area = tuple[float, float, float, float]


class Room(Protocol):
    """The settings of a scene that say where objects move, see `env.scene.SceneConfig`."""

    @property
    def objects(self) -> int:
        """Number of objects."""

    @property
    def object_size(self) -> float:
        """Edge of a box, meters."""

    @property
    def room_size(self) -> float:
        """Meters from wall to wall."""

    @property
    def dynamics(self) -> str:
        """How objects move."""

    @property
    def object_areas(self) -> tuple[Area, ...]:
        """Area of each object; empty: all move in the whole room."""

    @property
    def interior_walls(self) -> InteriorWallsConfig:
        """Walls inside the room."""

    @property
    def areas(self) -> np.ndarray:
        """Area of each object, [objects, 4]."""


def check_areas(config: Room) -> None:
    """Raise ValueError for object_areas that leave the room or that an interior wall divides."""
    if config.object_areas and len(config.object_areas) != config.objects:
        raise ValueError(
            f"object_areas must hold one area for each of the {config.objects} objects, "
            f"got {len(config.object_areas)}"
        )
    if config.object_areas and config.dynamics == "collide":
        raise ValueError("objects that collide share the room: empty object_areas, or choose other dynamics")
    for index, area in enumerate(config.object_areas):
        _check_area(config, index, area)
    config.interior_walls.check_room(config.room_size)
    margin = config.object_size / math.sqrt(2)  # to the corner of a box, however it is turned
    for index, (x, z, range_x, range_z) in enumerate(config.areas.tolist()):
        for wall, segment in enumerate(config.interior_walls.segments):
            if crosses_rectangle(segment, (x, z), (range_x + margin, range_z + margin)):
                raise ValueError(
                    f"object {index} would pass through interior wall {wall}: set object_areas so that each "
                    f"object stays {margin:.2g} meters (object_size / sqrt(2)) away from every wall"
                )


def _check_area(config: Room, index: int, area: Area) -> None:
    if len(area) != 4:
        raise ValueError(f"object_areas must hold x, z, range_x, range_z of each object, got {area}")
    for value in area[:2]:
        check_number(f"x and z of object_areas[{index}]", value)
    for center, extent in zip(area[:2], area[2:], strict=True):
        check_positive(f"the ranges of object_areas[{index}]", extent)
        if abs(center) + extent + config.object_size / 2 > config.room_size / 2:
            raise ValueError(
                f"object {index} would pass through the wall of the room: in object_areas[{index}] center, "
                f"range and object_size / 2 must add up to at most room_size / 2 = {config.room_size / 2:g}, "
                f"got {area}"
            )

"""Interior walls: thin, upright, opaque from both sides, and standing on the floor of the room."""

from dataclasses import dataclass

import numpy as np

from env.checks import check_number, check_positive

Segment = tuple[float, float, float, float]


@dataclass(frozen=True)
class InteriorWallsConfig:
    """Walls inside the room that hide what is behind them; none by default."""

    segments: tuple[Segment, ...] = ()  # x1, z1, x2, z2 of each wall's ends, in meters from the room's center
    height: float = 2.2  # meters; cameras of the default ring stand at 3.2

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid setting."""
        segments = tuple(tuple(segment) for segment in self.segments)  # TOML has lists
        object.__setattr__(self, "segments", segments)
        check_positive("height", self.height)
        for index, segment in enumerate(segments):
            if len(segment) != 4:
                raise ValueError(f"segments must hold x1, z1, x2, z2 of each wall, got {segment}")
            for value in segment:
                check_number(f"segments[{index}]", value)
            if segment[:2] == segment[2:]:
                raise ValueError(f"segments[{index}] has no length: its ends must differ, got {segment}")

    def check_room(self, room_size: float) -> None:
        """Raise ValueError unless all walls stand inside a room."""
        for index, segment in enumerate(self.segments):
            if max(map(abs, segment)) > room_size / 2:
                raise ValueError(
                    f"interior_walls.segments[{index}] leaves the room: coordinates must be at most "
                    f"room_size / 2 = {room_size / 2:g} from the center, got {segment}"
                )


def wall_hits(
    walls: InteriorWallsConfig, origin: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances at which rays meet the first interior wall.

    Args:
        walls: The walls.
        origin: [3], where all rays start.
        rays: [..., 3], of any length.

    Returns:
        (steps to the wall in lengths of the ray, [...], infinite for a miss; index of the wall, int [...]).
    """
    index = np.zeros(rays.shape[:-1], dtype=np.int64)
    nearest = np.full(rays.shape[:-1], np.inf)
    along_x, along_z = rays[..., 0], rays[..., 2]
    for number, (x1, z1, x2, z2) in enumerate(walls.segments):
        to_x, to_z, wall_x, wall_z = x1 - origin[0], z1 - origin[2], x2 - x1, z2 - z1
        with np.errstate(divide="ignore", invalid="ignore"):  # a ray parallel to a wall never meets it
            area = along_x * wall_z - along_z * wall_x
            steps = (to_x * wall_z - to_z * wall_x) / area
            shares = (to_x * along_z - to_z * along_x) / area  # along the wall, from 0 to 1
            heights = origin[1] + steps * rays[..., 1]
        hit = (steps > 0) & (shares >= 0) & (shares <= 1) & (heights >= 0) & (heights <= walls.height)
        nearer = hit & (steps < nearest)
        nearest, index = np.where(nearer, steps, nearest), np.where(nearer, number, index)
    return nearest, index


def distance_to_wall(segment: Segment, x: float, z: float) -> float:
    """Return the distance of a point of the floor from a wall, in meters."""
    start, end, point = np.array(segment[:2]), np.array(segment[2:]), np.array([x, z])
    along = end - start
    share = np.clip((point - start) @ along / (along @ along), 0, 1)
    return float(np.linalg.norm(point - start - share * along))


def crosses_rectangle(segment: Segment, center: tuple[float, float], half: tuple[float, float]) -> bool:
    """Return whether a wall enters a rectangle of the floor, by the slab method.

    Args:
        segment: The wall.
        center: x and z.
        half: Half of its sides along x and z.
    """
    first, last = 0.0, 1.0
    for start, end, middle, side in zip(segment[:2], segment[2:], center, half, strict=True):
        low, high, along = middle - side - start, middle + side - start, end - start
        if along == 0:
            if not low <= 0 <= high:
                return False
            continue
        enters, leaves = sorted((low / along, high / along))
        first, last = max(first, enters), min(last, leaves)
    return first <= last

"""Shapes of objects, and which shape an object has at a tick: its identity."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from env.checks import check_integer
from env.dynamics.random_numbers import uniforms

# By renderer. The last ones of miniworld are its meshes, with colors of their own: each stands on a plate of
# its object's color. The textured boxes and all other shapes have the object's color.
SHAPES = {
    "miniworld": (
        *("box", "ball", "cylinder", "brick_box", "grate_box", "tile_box", "wood_box"),
        *("barrel", "cone", "duckie", "medkit", "office_chair", "potion", "tree", "tree_pine"),
    ),
    "batch": ("box",),
    "toy": (
        *("box", "square", "triangle", "striped_disc", "striped_square", "striped_triangle"),
        *("checked_disc", "checked_square", "checked_triangle"),
    ),
}


def check_shapes(renderer: str, shapes: Sequence[str], identity_ticks: int) -> None:
    """Raise ValueError for shapes that a renderer cannot draw, or identities that cannot change.

    What a custom renderer draws is not known: any names are its own.
    """
    known = SHAPES.get(renderer, shapes)
    for shape in shapes:
        if shape not in known:
            others = [name for name, drawn in SHAPES.items() if shape in drawn]
            remedy = f"; set renderer to {' or '.join(others)} for it" if others else ""
            raise ValueError(f"shapes of renderer {renderer} are {', '.join(known)}; got {shape!r}{remedy}")
    if not shapes or len(set(shapes)) < len(shapes):
        raise ValueError(f"shapes must name one shape or more, each once, got {list(shapes)}")
    check_integer("identity_ticks", identity_ticks, 0)
    if identity_ticks and len(shapes) == 1:
        raise ValueError(
            f"identity_ticks={identity_ticks} changes nothing with one shape: add another to shapes, "
            "or set identity_ticks to 0"
        )


def identities_at(seed: int, objects: int, shapes: int, identity_ticks: int, ticks: np.ndarray) -> np.ndarray:
    """Return which shape each object has at any ticks, int64 [T] -> int64 [T, objects].

    Every ``identity_ticks`` ticks each object draws a shape, all equally likely and independent of others; if
    that is 0, object k has the shape k modulo their number for ever.

    Args:
        seed: Of the scene.
        objects: Number of objects.
        shapes: Number of shapes.
        identity_ticks: Ticks between two draws.
        ticks: Integer times.
    """
    ticks = np.asarray(ticks, dtype=np.int64)
    if not identity_ticks:
        return np.tile(np.arange(objects) % shapes, (len(ticks), 1))
    periods, rows = np.unique(ticks // identity_ticks, return_inverse=True)
    drawn = [_draw(seed, objects, shapes, period) for period in periods.tolist()]
    return np.array(drawn, dtype=np.int64).reshape(-1, objects)[rows]


@lru_cache(maxsize=64)
def _draw(seed: int, objects: int, shapes: int, period: int) -> np.ndarray:
    """Return the shapes of one period, int64 [objects]."""
    return (shapes * uniforms(f"identities:{seed}", period, objects, 1)[:, 0]).astype(np.int64)

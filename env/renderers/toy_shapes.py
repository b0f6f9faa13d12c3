"""Shapes of the toy renderer: flat outlines inside a disc that face the camera, plain or with a pattern."""

import math

import numpy as np

PATTERNS = ("striped", "checked")  # beginnings of the names of patterned shapes
DARK = 0.4  # share of its color that the darker half of a pattern keeps
CHECKS = 1.4  # for each radius; a square is then two by two


def edge_distance(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a distance from the center that equals the disc's radius on the outline of a shape, [H, W].

    Args:
        shape: One of the toy renderer's shapes; a box is drawn as a disc.
        x: [W], pixels to the right of the center.
        y: [H, 1], pixels below the center.
    """
    if shape.endswith("square"):
        return math.sqrt(2) * np.maximum(np.abs(x), np.abs(y))
    if shape.endswith("triangle"):
        return 2 * np.maximum(y, math.sqrt(0.75) * np.abs(x) - 0.5 * y)
    return np.sqrt(x * x + y * y)


def pattern(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the share of its color that a patterned shape has at each pixel, [H, W].

    Args:
        shape: One of the toy renderer's shapes, its name beginning with one of PATTERNS.
        x: [W], radii of the disc to the right of the center.
        y: [H, 1], radii of the disc below the center.
    """
    if shape.startswith("striped"):
        stripes = np.floor(2 * y) + 0 * x
    else:
        stripes = np.floor(CHECKS * y) + np.floor(CHECKS * x)
    return np.where(stripes % 2 == 0, 1.0, DARK)

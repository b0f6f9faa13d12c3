"""What things look like, in every renderer."""

import math
from dataclasses import dataclass

import numpy as np

OBJECT_COLORS = (  # red, green and blue parts in [0, 1], far from each other and from the grey floor
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (1.0, 1.0, 0.0),
    (1.0, 0.0, 1.0),
    (0.0, 1.0, 1.0),
)
BODY_COLOR = (0.1, 0.1, 0.1)
BODY_SIZE = 0.4  # metres, the edge of a peer's body

# Single objects.
OBJECT_FOV = 40.0  # degrees, the field of view of the camera in front of them
OBJECT_DISTANCE = 1 / math.sin(math.radians(OBJECT_FOV / 2))  # a ball of radius 1 just fits into the picture
AMBIENT, DIFFUSE = 0.4, 0.6  # light from everywhere and light from one side


@dataclass(frozen=True)
class Look:
    """One view of a single object; x is right, y up, and z towards the camera.

    Attributes:
        kind: The number of its class.
        rotation: [4], unit quaternion (w, x, y, z) that turns it from how its mesh is stored.
        size: [3], along its own axes; at 1 a ball around it just fits into the picture.
        light: [3], unit vector towards the light.
        background: [3], red, green and blue parts in [0, 1].
    """

    kind: int
    rotation: np.ndarray
    size: np.ndarray
    light: np.ndarray
    background: np.ndarray

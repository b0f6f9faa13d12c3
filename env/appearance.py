"""Colors, sizes and lighting that all renderers share, and the parameters of a picture of one object."""

import math
from dataclasses import dataclass

import numpy as np

# RGB in [0, 1]: twelve saturated hues 30 degrees apart, so that no shadow turns one into another, and no gray
# as floor and walls are. The first six are the farthest apart.
OBJECT_COLORS = (
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (1.0, 1.0, 0.0),
    (1.0, 0.0, 1.0),
    (0.0, 1.0, 1.0),
    (1.0, 0.5, 0.0),
    (0.0, 0.5, 1.0),
    (0.5, 1.0, 0.0),
    (0.5, 0.0, 1.0),
    (0.0, 1.0, 0.5),
    (1.0, 0.0, 0.5),
)
BODY_COLOR = (0.1, 0.1, 0.1)
BODY_SIZE = 0.4  # meters, the edge of a peer's body

# Pictures of single objects.
OBJECT_FOV = 40.0  # degrees, the camera's vertical field of view
OBJECT_DISTANCE = 1 / math.sin(math.radians(OBJECT_FOV / 2))  # a ball of radius 1 just fits into the picture
AMBIENT, DIFFUSE = 0.4, 0.6  # intensity of ambient light and of one directional light


@dataclass(frozen=True)
class ObjectView:
    """Parameters of one picture of a single object; x is right, y up, and z towards the camera.

    Attributes:
        class_index: Index of the object's class.
        rotation: [4], unit quaternion (w, x, y, z) applied to the stored mesh.
        size: [3], scale along the object's own axes; at 1 its bounding ball just fits into the picture.
        light: [3], unit vector towards the light.
        background: [3], RGB in [0, 1].
    """

    class_index: int
    rotation: np.ndarray
    size: np.ndarray
    light: np.ndarray
    background: np.ndarray

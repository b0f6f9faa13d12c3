"""A custom scene: objects on circles, seen by a camera without color.

PYTHONPATH=examples social-jepa check-scene scene.dynamics=custom_scene:Orbits
PYTHONPATH=examples social-jepa run scene.dynamics=custom_scene:Orbits
"""

import numpy as np

from env.dynamics.contract import Dynamics
from env.dynamics.random_numbers import uniforms
from env.renderer import Renderer
from env.renderers.toy import ToyRenderer

SLOWEST, FASTEST = 96, 32  # ticks of one turn


class Orbits(Dynamics):
    """Each object moves on a circle around the center; its start and speed follow from the seed."""

    decorrelation_ticks = SLOWEST  # periodic: the longest period

    def factors(self, ticks):  # int64 [T] -> [T, F], F = 2 * objects
        start, speed = uniforms(f"orbits:{self.motion.seed}", 0, self.motion.dim // 2, 2).T  # [objects]
        period = FASTEST + (SLOWEST - FASTEST) * speed
        angle = 2 * np.pi * (start + ticks[:, None] / period)  # [T, objects]
        return np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(len(ticks), -1)


class GrayRenderer(Renderer):
    """The toy renderer without color."""

    def __init__(self, config):
        self.toy = ToyRenderer(config)

    def render(self, state, pose, viewer=None):
        gray = self.toy.render(state, pose, viewer).mean(axis=-1, keepdims=True)
        return gray.repeat(3, axis=-1).astype(np.uint8)

    def close(self):
        self.toy.close()

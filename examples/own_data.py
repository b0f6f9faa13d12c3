"""A custom source of frames: two agents each see another half of a window that drifts over a photograph.

PYTHONPATH=examples social-jepa check-scene --config examples/own_data.toml
PYTHONPATH=examples social-jepa run --config examples/own_data.toml
"""

from functools import cached_property

import numpy as np
from scipy.signal import lfilter
from sklearn.datasets import load_sample_image

from env.sources.contract import PictureSource, check_ticks

SIDE = 128  # pixels, the edge of the window
RATE = 0.9  # correlation of its position from tick to tick
REACH = (100, 160)  # pixels, the largest distance of its center from that of the photograph


class DriftingWindow(PictureSource):
    """A window over scikit-learn's photograph of a temple; scene.frames.views says what each agent sees."""

    decorrelation_ticks = 66  # after which 0.9 ** ticks is below a thousandth

    @property
    def ticks(self):
        return self.config.ticks

    @cached_property
    def photograph(self):  # uint8 [427, 640, 3]
        return load_sample_image("china.jpg")

    @cached_property
    def path(self):  # [T, 2], two processes of unit variance
        noise = np.random.default_rng(self.config.seed).standard_normal((self.ticks, 2))
        noise[1:] *= np.sqrt(1 - RATE**2)
        return lfilter([1], [1, -RATE], noise, axis=0)  # x' = RATE x + noise

    def state(self, ticks):
        return self.path[check_ticks(ticks, self.ticks)]

    def pictures(self, ticks):
        center = np.array(self.photograph.shape[:2]) / 2
        corners = center + REACH * np.tanh(0.45 * self.state(ticks)) - SIDE / 2
        for top, left in corners.round().astype(int).tolist():
            yield self.photograph[top : top + SIDE, left : left + SIDE]

"""A source of frames without a known state, and a frozen encoder, for tests of whole runs."""

import numpy as np
import torch
from torch import nn

from env.sources.contract import PictureSource, check_ticks

RATE = 0.8  # correlation of the square's position from tick to tick


class Square(PictureSource):
    """A bright square that drifts over a dark picture of 32 by 32 pixels."""

    decorrelation_ticks = 31
    ticks = 4500

    def pictures(self, ticks):
        if not hasattr(self, "_path"):
            noise = np.random.default_rng(self.config.seed).standard_normal((self.ticks, 2))
            for tick in range(1, self.ticks):
                noise[tick] = RATE * noise[tick - 1] + np.sqrt(1 - RATE**2) * noise[tick]
            self._path = (16 + 11 * np.tanh(0.45 * noise)).round().astype(int)
        for top, left in (self._path[check_ticks(ticks, self.ticks)] - 4).tolist():
            picture = np.full((32, 32, 3), 30, np.uint8)
            picture[top : top + 8, left : left + 8] = 255, 200, 0
            yield picture


class LongSquare(Square):
    """The same for longer: enough ticks to learn where the square is."""

    ticks = 7500


class Cells(nn.Module):
    """Mean colors of 8 by 8 cells, as a pretrained encoder that needs no download: 192 dimensions."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.tensor(1 / 255))

    def forward(self, frames):
        pooled = nn.functional.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2) * self.scale, 8)
        return pooled.flatten(1)

"""The memory that is measured on frames follows that of the process that moves them."""

import numpy as np
import pytest

from env.sources.contract import FrameSource, check_ticks
from env.sources.memory import MEASURED_TICKS
from env.sources.settings import FramesConfig


class Gray(FrameSource):
    """Frames of one brightness each."""

    views = 1
    ticks = MEASURED_TICKS

    def __init__(self, values):
        super().__init__(FramesConfig(), 16)
        self.values = np.clip(128 + 30 * values, 0, 255).astype(np.uint8)

    def read(self, ticks, view):
        values = self.values[check_ticks(ticks, self.ticks)]
        return np.broadcast_to(values[:, None, None, None], (len(values), 16, 16, 3)).copy()


def process(rate, seed=0):
    values = np.random.default_rng(seed).standard_normal(MEASURED_TICKS)
    for tick in range(1, len(values)):
        values[tick] = rate * values[tick - 1] + np.sqrt(1 - rate**2) * values[tick]
    return values


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
def test_it_is_when_a_thousandth_of_the_correlation_is_left(rate):
    exact = np.log(1e-3) / np.log(rate)

    assert 0.6 * exact <= Gray(process(rate)).decorrelation_ticks <= 1.6 * exact


def test_equal_frames_have_none_and_periodic_ones_never_forget():
    assert Gray(np.zeros(MEASURED_TICKS)).decorrelation_ticks == 0
    assert Gray(np.sin(np.arange(MEASURED_TICKS) / 9)).decorrelation_ticks == MEASURED_TICKS

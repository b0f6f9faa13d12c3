"""Which ticks axes are found on."""

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from agents.training.stage_data import StageData
from agents.training.ticks import AXIS_TICKS, BLOCK_TICKS, axis_ticks
from alignment.core import find_core
from alignment.fit import fit_ridge
from alignment.score import r2


@pytest.mark.parametrize("count", [2, 100, AXIS_TICKS])
def test_few_ticks_are_one_block_of_all(count):
    assert axis_ticks(range(7, 7 + count), 4).tolist() == [list(range(7, 7 + count))]


@pytest.mark.parametrize("count", [AXIS_TICKS + 1, 20_000, 49_152, 10**6])
@pytest.mark.parametrize("segment", [4, 100, 20_000])
def test_blocks_of_many_ticks_are_disjoint_and_span_them_evenly(count, segment):
    ticks = range(10**7, 10**7 + count)
    if segment > count:
        return
    blocks = axis_ticks(ticks, segment)

    assert blocks.shape[1] == max(BLOCK_TICKS, segment)
    assert (np.diff(blocks) == 1).all()
    assert blocks[0, 0] == ticks.start
    if len(blocks) > 1:
        assert blocks[-1, -1] == ticks[-1]
        steps = np.diff(blocks[:, 0])
        assert steps.min() >= blocks.shape[1]
        assert steps.max() - steps.min() <= 1
        assert AXIS_TICKS - blocks.shape[1] < blocks.size <= AXIS_TICKS


def test_axes_of_a_slow_scene_are_clearer_on_blocks_than_on_the_newest_ticks():
    """Two processes of rate 0.999 in latents with their products: blocks see three times as long a time."""
    found = {"newest": [], "blocks": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        a, b = lfilter([(1 - 0.999**2) ** 0.5], [1, -0.999], rng.standard_normal((2, 110_000)))[:, 10_000:]
        columns = np.stack([a, b, a * b, a**2 - 1, b**2 - 1, a**3], 1) @ rng.standard_normal((6, 6))
        latents, ticks = torch.from_numpy(columns), range(49_152)
        for name, chosen in (
            ("newest", np.arange(49_152)[None, -AXIS_TICKS:]),
            ("blocks", axis_ticks(ticks, 4)),
        ):
            basis = find_core(latents[chosen])
            factors = torch.from_numpy(np.stack([a, b], 1))
            fit, held = slice(50_000, 75_000), slice(75_000, 100_000)
            readout = fit_ridge(basis(latents[fit])[:, :2], factors[fit])
            found[name].append(r2(readout(basis(latents[held])[:, :2]), factors[held]))

    assert np.mean(found["blocks"]) > np.mean(found["newest"]) + 0.05


def test_segments_lie_in_one_block_and_start_anywhere_in_it():
    data = StageData(np.array([[3, 4, 5, 6], [20, 21, 22, 23]]), np.zeros((1, 2), int), lambda ticks: ticks)
    rows = data.draw_rows(np.random.default_rng(0), 500, 3)

    drawn = data.trained.ravel()[rows]
    assert (np.diff(drawn) == 1).all()
    assert sorted(set(drawn[:, 0])) == [3, 4, 20, 21]

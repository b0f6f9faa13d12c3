"""The training loop that experiments share."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from agents.common.streams import seeded
from agents.training.trainer import TrainingError
from social_jepa.experiments.common.training_loop import fit_model

IGNORE = [].append


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)


def train(steps=20, seed=(0, 1), log=IGNORE, change=lambda loss: loss, **options):
    net = seeded([5, *seed], Net)

    def batch(rng):
        x = torch.from_numpy(rng.standard_normal((8, 3)).astype(np.float32))
        loss = change((net.head(net.encoder(x)) - x[:, :2]).square().mean())
        return loss, {"loss": float(loss.detach())}

    curves, flops = fit_model(net, batch, steps, 1e-2, list(seed), log, **options)
    return net, curves, flops


def distances_moved(net, seed=(0, 1)):
    start = seeded([5, *seed], Net)
    return [
        float((after - before).detach().norm())
        for after, before in zip(net.parameters(), start.parameters(), strict=True)
    ]


def test_equal_seeds_give_equal_weights_and_other_seeds_give_others():
    first, again, other = (train(seed=seed)[0] for seed in ((0, 1), (0, 1), (0, 2)))

    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_initial_weights_depend_on_their_seed_and_do_not_advance_the_global_generator():
    before = torch.get_rng_state()
    one, two = seeded([1, 2], Net), seeded([1, 2], Net)

    assert torch.equal(one.head.weight, two.head.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_lowers_the_loss_and_logs_ten_times():
    lines = []
    _, curves, _ = train(steps=200, log=lines.append)

    assert np.mean(curves["loss"][-20:]) < np.mean(curves["loss"][:20]) / 3
    assert len(curves["loss"]) == 200
    assert [line.partition(":")[0] for line in lines] == [f"step {n} of 200" for n in range(20, 201, 20)]


def test_a_learning_rate_multiplier_slows_its_parameters_alone():
    plain, slow = (
        distances_moved(train(steps=5)[0]),
        distances_moved(train(steps=5, lr_multipliers={"encoder.": 0.01})[0]),
    )

    assert max(slow[:2]) < min(plain[:2]) / 20
    assert slow[2] > plain[2] / 2


def test_flops_equal_a_manual_count():
    """A product of [8, 3] and [3, 4] costs 2 * 8 * 3 * 4; the backward pass, as much for each gradient."""
    first, second = 2 * 8 * 3 * 4, 2 * 8 * 4 * 2
    forward = first + second
    backward = first + 2 * second  # the data itself needs no gradient

    assert train(steps=7)[2] == 7 * (forward + backward)


def test_after_step_is_called_after_every_step():
    calls = []
    train(steps=6, after_step=lambda: calls.append(1))

    assert len(calls) == 6


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_setting():
    with pytest.raises(TrainingError, match="loss became nan at step 0; try a lower learning_rate"):
        train(change=lambda loss: loss * math.nan)

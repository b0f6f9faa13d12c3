"""What experiments are made of: goals, figures, and the loop that trains."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from agents.streams import seeded
from agents.training.trainer import TrainingError
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import ConditionResult, Metric, Results, Threshold
from social_jepa.experiments.framework.score import Estimate, Score

QUIET = [].append


@pytest.mark.parametrize(("sign", "met"), [(">=", "01"), ("<=", "-0"), (">", "1"), ("<", "-"), ("==", "0")])
def test_a_goal_compares_as_it_reads(sign, met):
    goal = Threshold(sign, 0.5)

    assert [goal.met(value) for value in (0.4, 0.5, 0.6)] == [mark in met for mark in "-01"]
    assert str(goal) == f"{sign} 0.5"
    assert not goal.met(math.nan)


def test_a_goal_that_compares_nothing_is_refused():
    with pytest.raises(ValueError, match="=>"):
        Threshold("=>", 1)


def test_a_figure_is_plain_values_that_json_knows():
    figure = Metric(
        "gap", Estimate.from_scores([Score.single(math.nan)]), null=math.inf, threshold=Threshold(">", 0)
    )

    told = json.loads(json.dumps(figure.as_dict(), allow_nan=False))

    assert told["value"] is told["low"] is told["null"] is None
    assert (told["goal"], told["met"]) == ("> 0", False)
    assert Metric("free", figure.estimate).as_dict()["met"] is None


def test_results_take_the_seeds_in_their_order():
    outcomes = {
        ("a", seed): ConditionResult({"m": Score.single(seed)}, {"x": np.full(2, seed)}) for seed in (4, 2)
    }
    results = Results(outcomes, (4, 2))

    assert results.estimate("a", "m").seeds == (4, 2)
    assert results.mean("a", "m") == results.estimate("a", "m").value == 3
    assert results.array("a", "x")[0] == 4
    assert results.array("a", "x", seed=2)[0] == 2
    with pytest.raises(KeyError):
        results.estimate("a", "n")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)


def train(steps=20, seed=(0, 1), say=QUIET, bend=lambda loss: loss, **options):
    net = seeded([5, *seed], Net)

    def batch(rng):
        x = torch.from_numpy(rng.standard_normal((8, 3)).astype(np.float32))
        loss = bend((net.head(net.encoder(x)) - x[:, :2]).square().mean())
        return loss, {"loss": float(loss.detach())}

    curves, flops = fit_model(net, batch, steps, 1e-2, list(seed), say, **options)
    return net, curves, flops


def moved(net, seed=(0, 1)):
    start = seeded([5, *seed], Net)
    return [
        float((after - before).detach().norm())
        for after, before in zip(net.parameters(), start.parameters(), strict=True)
    ]


def test_equal_words_give_equal_weights_and_others_give_others():
    first, again, other = (train(seed=seed)[0] for seed in ((0, 1), (0, 1), (0, 2)))

    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_first_weights_follow_from_their_words_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    one, two = seeded([1, 2], Net), seeded([1, 2], Net)

    assert torch.equal(one.head.weight, two.head.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_lowers_the_loss_and_tells_ten_times():
    told = []
    _, curves, _ = train(steps=200, say=told.append)

    assert np.mean(curves["loss"][-20:]) < np.mean(curves["loss"][:20]) / 3
    assert len(curves["loss"]) == 200
    assert [line.partition(":")[0] for line in told] == [f"step {n} of 200" for n in range(20, 201, 20)]


def test_a_slow_group_moves_less_and_the_others_as_before():
    plain, slow = moved(train(steps=5)[0]), moved(train(steps=5, lr_multipliers={"encoder.": 0.01})[0])

    assert max(slow[:2]) < min(plain[:2]) / 20
    assert slow[2] > plain[2] / 2


def test_flops_are_those_of_a_hand_count():
    """A product of [8, 3] and [3, 4] costs 2 * 8 * 3 * 4; going back, one for each factor that learns."""
    first, second = 2 * 8 * 3 * 4, 2 * 8 * 4 * 2
    forward = first + second
    backward = first + 2 * second  # the data itself needs no gradient

    assert train(steps=7)[2] == 7 * (forward + backward)


def test_what_happens_after_a_step_happens_after_each():
    seen = []
    train(steps=6, after_step=lambda: seen.append(1))

    assert len(seen) == 6


def test_a_loss_that_is_no_number_is_refused_with_a_sentence():
    with pytest.raises(TrainingError, match="loss became nan at step 0; try a lower learning_rate"):
        train(bend=lambda loss: loss * math.nan)

import numpy as np
import pytest
import torch
from torch import nn

from agents.models.ema import frozen_copy, update_ema


def networks():
    """A network that has moved on, and the frozen copy of what it was."""
    torch.manual_seed(0)
    online = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    target = frozen_copy(online)
    with torch.no_grad():
        for weight in online.parameters():
            weight.normal_()
    online(torch.randn(8, 5))  # moves the running statistics
    return target, online


def values(network):
    return [weight.detach().clone() for weight in network.parameters()]


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.5, 0.996, 1.0])
def test_a_target_moves_by_its_momentum_and_the_online_network_stays(momentum):
    target, online = networks()
    before, fast = values(target), values(online)
    update_ema(target, online, momentum)

    for slow, old, new in zip(values(target), before, fast, strict=True):
        expected = momentum * old.numpy().astype(np.float64) + (1 - momentum) * new.numpy()
        np.testing.assert_allclose(slow, expected, atol=1e-6)
    assert all(map(torch.equal, online.parameters(), fast))


@pytest.mark.parametrize(("momentum", "whose"), [(1.0, 0), (0.0, 1)])
def test_at_its_ends_a_momentum_stays_or_copies_to_the_bit(momentum, whose):
    target, online = networks()
    expected = values((target, online)[whose])
    update_ema(target, online, momentum)

    assert all(map(torch.equal, target.parameters(), expected))


def test_many_steps_are_one_with_the_momentum_to_that_power():
    (one, online), (many, _) = networks(), networks()
    update_ema(one, online, 0.9**20)
    for _ in range(20):
        update_ema(many, online, 0.9)

    for a, b in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_a_frozen_copy_shares_nothing_and_learns_nothing():
    target, online = networks()
    places = {weight.data_ptr() for weight in online.parameters()}

    assert not places & {weight.data_ptr() for weight in target.parameters()}
    assert not any(weight.requires_grad for weight in target.parameters())
    assert all(weight.requires_grad for weight in online.parameters())


def test_what_a_normalisation_has_seen_stays_its_own():
    target, online = networks()
    update_ema(target, online, 0.0)

    assert (target[1].running_mean == 0).all()
    assert (online[1].running_mean != 0).any()


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
def test_a_momentum_that_is_no_share_is_refused(momentum):
    with pytest.raises(ValueError, match="from 0 to 1"):
        update_ema(*networks(), momentum)

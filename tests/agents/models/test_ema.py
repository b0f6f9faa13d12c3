import numpy as np
import pytest
import torch
from torch import nn

from agents.models.ema import frozen_copy, update_ema


def networks():
    """An online network that has been trained, and the frozen copy made before."""
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
def test_a_target_moves_by_the_momentum_and_the_online_network_does_not_change(momentum):
    target, online = networks()
    before, fast = values(target), values(online)
    update_ema(target, online, momentum)

    for slow, old, new in zip(values(target), before, fast, strict=True):
        expected = momentum * old.numpy().astype(np.float64) + (1 - momentum) * new.numpy()
        np.testing.assert_allclose(slow, expected, atol=1e-6)
    assert all(map(torch.equal, online.parameters(), fast))


@pytest.mark.parametrize(("momentum", "whose"), [(1.0, 0), (0.0, 1)])
def test_a_momentum_of_one_keeps_and_of_zero_copies_bit_for_bit(momentum, whose):
    target, online = networks()
    expected = values((target, online)[whose])
    update_ema(target, online, momentum)

    assert all(map(torch.equal, target.parameters(), expected))


def test_many_updates_equal_one_with_the_momentum_to_that_power():
    (one, online), (many, _) = networks(), networks()
    update_ema(one, online, 0.9**20)
    for _ in range(20):
        update_ema(many, online, 0.9)

    for a, b in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_a_frozen_copy_shares_no_tensor_and_takes_no_gradient():
    target, online = networks()
    places = {weight.data_ptr() for weight in online.parameters()}

    assert not places & {weight.data_ptr() for weight in target.parameters()}
    assert not any(weight.requires_grad for weight in target.parameters())
    assert all(weight.requires_grad for weight in online.parameters())


def test_statistics_of_batch_normalization_are_not_copied():
    target, online = networks()
    update_ema(target, online, 0.0)

    assert (target[1].running_mean == 0).all()
    assert (online[1].running_mean != 0).any()


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
def test_a_momentum_outside_0_to_1_is_refused(momentum):
    with pytest.raises(ValueError, match="from 0 to 1"):
        update_ema(*networks(), momentum)

"""Collapse: to a point, to a line, to rounding, to noise; and what is small, far away or slow is none."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.arrays import AlignmentError
from alignment.collapse import contraction, explain_collapse, resolution, resolved_dims

SEEDS = st.integers(0, 2**32)
SCALES = st.floats(-9, 9).map(lambda power: 10.0**power)
quick = settings(max_examples=60)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def encoders(seed, rows=200, dim=6):
    """Latents of one set of frames by a trained encoder and before training, off the origin as biases are."""
    return normal(seed, rows, dim) + normal(seed + 1, dim), normal(seed + 2, rows, dim) + normal(
        seed + 3, dim
    )


@given(SEEDS, SCALES)
@quick
def test_neither_the_unit_of_an_encoder_nor_its_scale_after_training_is_collapse(seed, scale):
    z, untrained = encoders(seed)

    assert contraction(scale * z, scale * untrained) == pytest.approx(contraction(z, untrained))
    assert explain_collapse(scale * z, untrained, core_dim=2) == ""
    assert explain_collapse(z, scale * untrained, core_dim=2) == ""


@given(SEEDS, st.floats(0, 1e4))
@quick
def test_distance_from_the_origin_is_no_collapse(seed, distance):
    z, untrained = encoders(seed)

    assert explain_collapse(z + distance, untrained, core_dim=2) == ""
    assert explain_collapse(z, untrained + distance, core_dim=2) == ""


@given(SEEDS, st.floats(-5, -2).map(lambda power: 10.0**power), SCALES)
@quick
def test_latents_that_contract_to_a_point_have_collapsed_though_their_rank_is_full(seed, share, scale):
    z, untrained = encoders(seed)
    point = z.mean(0)
    shrunk = scale * (point + share * (z - point))

    assert contraction(shrunk, scale * untrained) == pytest.approx(share * contraction(z, untrained), rel=3)
    assert "contracted" in explain_collapse(shrunk, scale * untrained, core_dim=2)


@given(SEEDS, SCALES)
@quick
def test_latents_that_their_arithmetic_does_not_resolve_have_collapsed(seed, scale):
    z, untrained = encoders(seed)
    far = (1000 + z).to(torch.bfloat16).float()  # a step is 4 there, and the spread is 1

    assert resolved_dims(scale * z) == resolved_dims(z.float()) == resolved_dims(z.bfloat16()) == 6
    assert "arithmetic" in explain_collapse(far, untrained, core_dim=2)
    assert explain_collapse(1000 + z, untrained, core_dim=2) == ""


def test_one_dimension_far_away_does_not_hide_the_others():
    z, untrained = encoders(0)
    z[:, 0] += 1e5
    bf16 = z.bfloat16().float()

    assert resolved_dims(bf16) == 5
    assert explain_collapse(bf16, untrained, core_dim=2) == ""


@pytest.mark.parametrize(
    ("dtype", "step"), [(torch.bfloat16, 2**-7), (torch.float16, 2**-10), (torch.float32, 1e-6)]
)
def test_the_arithmetic_is_read_off_the_values(dtype, step):
    assert resolution(normal(0, 100, 4).to(dtype).double()) == pytest.approx(step)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-30, 1e30])
def test_a_constant_has_collapsed(value):
    _, untrained = encoders(0)
    constant = torch.full((200, 6), value)

    assert explain_collapse(constant, untrained, core_dim=2)
    assert contraction(torch.zeros(200, 6), untrained) == 0
    assert contraction(untrained, constant) > 1


def test_a_line_and_noise_have_collapsed():
    z, untrained = encoders(0)

    assert "1.0 of 6 dimensions" in explain_collapse(z[:, :1].expand(-1, 6), untrained, core_dim=1)
    assert "predicted" in explain_collapse(z, untrained, core_dim=0)
    assert explain_collapse(z[:, :1], untrained[:, :1], core_dim=1) == ""  # one dimension is all it has


def test_numpy_and_tensors_are_judged_alike():
    z, untrained = encoders(0)

    assert contraction(z.numpy(), untrained.numpy()) == contraction(z, untrained)
    assert explain_collapse(z.numpy().astype(np.float32), untrained.numpy(), core_dim=1) == ""
    assert math.isinf(contraction(z, torch.zeros_like(z)))


@pytest.mark.parametrize("shape", [(199, 6), (200, 5), (200,), (0, 6)])
def test_latents_of_other_frames_are_refused(shape):
    with pytest.raises(AlignmentError, match="encode the same frames"):
        contraction(torch.ones(200, 6), torch.ones(shape))

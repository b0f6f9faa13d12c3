r"""Collapse: whether the latents of an encoder still follow what it encodes.

Latents collapse to a point, to a line, or to noise, and each shows in another number: their spread, their
effective rank, and the size of their core. The spread is judged without a unit. Latents that are small
altogether have not collapsed, and neither have latents far from the origin; collapsed ones are both close
together, compared with those of the untrained encoder, and close together for their distance from the
origin. With s the root mean square of centered latents, m that of the latents, and s_0, m_0 those of the
untrained encoder on the same frames, the contraction is

    max(s / s_0, (s / m) / (s_0 / m_0))

which neither a factor nor a shift of the trained latents can make small.
"""

from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, Array, to_tensor
from alignment.core import ROUNDING, effective_rank

COLLAPSED_RANK: Final = 1.5  # effective dimensions below which latents lie on a line
# Every objective that prevents collapse was measured above 0.17 after 20 and after 400 steps, prediction
# alone below 0.1 after 200.
COLLAPSED_CONTRACTION: Final = 0.1


def explain_collapse(z: Array, untrained: Array, core_dim: int) -> str:
    """Return a clause that explains the collapse of latents, with measured numbers; "" if there is none.

    Args:
        z: [K, D], latents of K frames that differ.
        untrained: [K, D], latents of the same frames by the encoder before training.
        core_dim: Number of dimensions of the core of z, see `alignment.core.find_core`.

    Raises:
        AlignmentError: The two are not [K, D] with one shape.
    """
    shrunk = contraction(z, untrained)
    if resolved_dims(z) == 0:
        return "they vary by less than their arithmetic resolves"
    if shrunk < COLLAPSED_CONTRACTION:
        return f"training contracted them to {100 * shrunk:.2g} % of their spread before training"
    rank, dim = effective_rank(z), z.shape[-1]
    if rank < min(COLLAPSED_RANK, dim):
        return f"they use {rank:.1f} of {dim} dimensions"
    if core_dim == 0:
        return "none of their directions can be predicted from one tick to the next"
    return ""


def contraction(z: Array, untrained: Array) -> float:
    """Return the factor by which training contracted latents towards a point; the module has the formula.

    About 1 or above for a healthy encoder of any scale, 0 for a point. Infinite where the untrained latents
    do not vary, so that there is nothing to compare with.

    Args:
        z: [K, D].
        untrained: [K, D], latents of the same frames by the encoder before training.

    Raises:
        AlignmentError: The two are not [K, D] with one shape.
    """
    rows, before = to_tensor(z, "z"), to_tensor(untrained, "untrained")
    if rows.ndim != 2 or rows.shape != before.shape or not len(rows):
        raise AlignmentError(
            f"contraction compares latents [K, D] of the same frames, got {tuple(rows.shape)} and "
            f"{tuple(before.shape)}",
            "encode the same frames with both encoders",
        )
    (spread, size), (first_spread, first_size) = _spread_and_size(rows), _spread_and_size(before)
    if spread == 0:
        return 0.0
    if first_spread == 0:
        return float("inf")
    return max(spread / first_spread, spread / size * (first_size / first_spread))


def resolved_dims(z: Array) -> int:
    """Return the number of dimensions of latents [K, D] that vary by more than their arithmetic resolves.

    The arithmetic is read off the values: those that bfloat16 holds exactly were computed in bfloat16, whose
    step is 2^-7 of a value, however they are stored now. Values that are not finite vary by nothing.
    """
    rows = to_tensor(z, "z").detach()
    rows = rows.reshape(-1, rows.shape[-1]).double()
    spread, size = rows.std(0, correction=0), rows.square().mean(0).sqrt()
    return int((spread > resolution(rows) * size).sum())


def resolution(z: Array) -> float:
    """Return the relative step of the coarsest arithmetic that holds all of these values exactly."""
    rows = to_tensor(z, "z")
    for dtype in (torch.bfloat16, torch.float16):
        if torch.equal(rows.to(dtype).to(rows.dtype), rows):
            return torch.finfo(dtype).eps
    return ROUNDING**0.5


def _spread_and_size(rows: Tensor) -> tuple[float, float]:
    """Return the root mean squares of centered rows and of rows."""
    rows = rows.detach().double()
    return float((rows - rows.mean(0)).square().mean().sqrt()), float(rows.square().mean().sqrt())

"""What the owner of embeddings lets its peers have of them: how many dimensions, how precise, how noisy.

`negotiation.dims` and `negotiation.precision` of the target say what it asks for; those of the source bound
what it sends, whatever it is asked for. `negotiation.noise` adds to each number of tick t a normal number

    e_t = noise * Phi^-1(u_t),   u_t uniform, from SHAKE-256(key, checkpoint, t)

in standard deviations of the white latent. It follows from the tick, so that a peer that asks twice, or under
two names, gets the same row and cannot average the noise away, and so that two replies of an honest agent
never contradict each other (`agents.protocol.evidence`). The key is secret: a peer that has it can subtract
the noise. The next model of the agent has other noise.
"""

import hashlib
import math
from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from torch import Tensor

from agents.protocol.identity import Identity
from agents.protocol.precision import pack_embeddings, unpack_embeddings
from agents.protocol.settings import NOISE_STEPS, NUMBER_BYTES, NegotiationConfig, Precision

PURPOSE: Final = b"social-jepa noise\0"  # separates this use of a key from its signatures of envelopes
KEY_BYTES: Final = 32


def noise_key(identity: Identity) -> bytes:
    """Return the secret key of an agent's noise, 32 bytes; the same whenever it starts with its key file."""
    return hashlib.sha256(identity.sign(PURPOSE)).digest()


def coarser(one: Precision, other: Precision) -> Precision:
    """Return the precision of the two whose numbers take fewer bytes."""
    return min(one, other, key=NUMBER_BYTES.__getitem__)


def stated_noise(noise: float) -> int:
    """Return the noise that a reply states, in thousandths, rounded up so that some is never stated as 0."""
    return math.ceil(noise * NOISE_STEPS - 1e-9)


def add_noise(embeddings: Tensor, ticks: Iterable[int], checkpoint: str, noise: float, key: bytes) -> Tensor:
    """Return embeddings with the noise of their ticks, float32 [K, D]; without noise the same tensor.

    Args:
        embeddings: [K, D], the leading dimensions of a white latent.
        ticks: K ticks; equal ones have equal noise.
        checkpoint: Model that embeds them.
        noise: Standard deviation.
        key: 32 secret bytes.

    Raises:
        ValueError: There is noise to add, and no key.
    """
    if not noise:
        return embeddings
    if len(key) != KEY_BYTES:
        raise ValueError(f"noise needs a key of {KEY_BYTES} bytes, got {len(key)}: see noise_key")
    dim = embeddings.shape[1]
    rows = [_uniform(key + checkpoint.encode() + b"\0" + tick.to_bytes(8, "little"), dim) for tick in ticks]
    drawn = torch.special.ndtri(torch.from_numpy(np.stack(rows)))
    return (embeddings.double() + noise * drawn).float()


def _uniform(seed: bytes, count: int) -> np.ndarray:
    """Return numbers between 0 and 1 that follow from a seed; fewer of them are the first ones."""
    words = np.frombuffer(hashlib.shake_256(seed).digest(8 * count), "<u8")
    found: np.ndarray = ((words >> np.uint64(11)).astype(float) + 0.5) * 2.0**-53
    return found


def protect(
    embeddings: Tensor, ticks: Iterable[int], checkpoint: str, config: NegotiationConfig, key: bytes
) -> Tensor:
    """Return the embeddings that an agent with these settings sends, float32 [K, min(D, dims)]."""
    kept = embeddings[:, : config.sent_dims(embeddings.shape[1])].float()
    return add_noise(kept, ticks, checkpoint, config.noise, key)


def in_precision(embeddings: Tensor, precision: Precision) -> Tensor:
    """Return float32 embeddings [K, D] rounded as a message in a precision rounds them."""
    if precision == "float32":
        return embeddings
    rows, dim = embeddings.shape
    data = pack_embeddings(embeddings.numpy(), precision)
    return torch.from_numpy(unpack_embeddings(data, rows, dim, precision))

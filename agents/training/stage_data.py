"""What further encoders are trained and measured on: ticks, their frames, and latents or pixels of these."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from agents.models.jepa import Jepa
from alignment.core import ROUNDING

CHUNK: Final = 512  # ticks rendered and encoded at a time
COMPONENTS: Final = 128  # of the pixels
COMPONENT_TICKS: Final = 1024  # that the components are found on, at most
COMPONENT_PIXELS: Final = 2**26  # of all these ticks together, 256 MiB


@dataclass(frozen=True)
class StageData:
    """What stages are trained and measured on.

    Attributes:
        trained: Blocks of consecutive ticks of the replay buffer, int64 [B, L].
        pairs: Later ticks that nothing was trained on, and their successors, int64 [N, 2].
        read: Returns the frames of ticks, int64 [K] -> uint8 [K, H, W, C].
    """

    trained: np.ndarray
    pairs: np.ndarray
    read: Callable[[np.ndarray], Tensor]
    _pair_frames: list[Tensor] = field(default_factory=list, init=False)

    def draw_rows(self, rng: np.random.Generator, count: int, length: int) -> np.ndarray:
        """Return rows of the trained ticks, block after block, of random segments, int64 [count, length].

        Each start of a segment that lies in one block is equally likely.
        """
        blocks, ticks = self.trained.shape
        starts = rng.integers(0, blocks * (ticks - length + 1), size=count)
        block, offset = np.divmod(starts, ticks - length + 1)
        found: np.ndarray = (block * ticks + offset)[:, None] + np.arange(length)
        return found

    def latents(self, model: Jepa, encoder: nn.Module) -> "Latents":
        """Return the latents of one of a model's encoders."""
        encoder.eval()
        trained = _encode(model, encoder, map(self.read, _chunks(self.trained.ravel())))
        pairs = _encode(model, encoder, self._read_pairs())
        return Latents(trained.unflatten(0, self.trained.shape), pairs.unflatten(0, self.pairs.shape))

    def pixels(self) -> "Latents":
        """Return the leading principal components of the pixels, at most `COMPONENTS`.

        What is left to learn shows in them, if only in part and not as what it is: what is linear in the
        pixels of a moving object follows its place to some degree.
        """
        trained = self.trained.ravel()
        pixels = self.read(trained[:1]).numel()
        count = min(len(trained), COMPONENT_TICKS, max(2, COMPONENT_PIXELS // pixels))
        spread = np.linspace(0, len(trained) - 1, count).round().astype(int)
        sample = self.read(trained[spread]).flatten(1).float()
        size, mean = float(sample.double().norm() ** 2), sample.mean(0)
        sample -= mean
        variance, rows = torch.linalg.eigh(sample @ sample.T)  # of ticks: there are fewer than pixels
        kept = variance > ROUNDING * size
        axes = sample.T @ (rows[:, kept][:, -COMPONENTS:] * variance[kept][-COMPONENTS:].rsqrt())

        def project(frames: Iterable[Tensor]) -> Tensor:
            return torch.cat([part.flatten(1).float() @ axes for part in frames]) - mean @ axes

        found = project(map(self.read, _chunks(trained)))
        pairs = project(self._read_pairs())
        return Latents(found.unflatten(0, self.trained.shape), pairs.unflatten(0, self.pairs.shape))

    def _read_pairs(self) -> list[Tensor]:
        """Return the frames of the pairs in chunks: no replay buffer holds them; every encoder needs them.

        Not a cached_property: up to Python 3.11 it holds one lock for all instances, and reading may wait for
        another agent of this process, which then waits for that lock.
        """
        if not self._pair_frames:
            self._pair_frames.extend(map(self.read, _chunks(self.pairs.ravel())))
        return self._pair_frames


def _chunks(ticks: np.ndarray) -> list[np.ndarray]:
    return [ticks[start : start + CHUNK] for start in range(0, len(ticks), CHUNK)]


@torch.no_grad()
def _encode(model: Jepa, encoder: nn.Module, frames: Iterable[Tensor]) -> Tensor:
    return torch.cat([model.encode_by([encoder], part)[0] for part in frames]).cpu()


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents, or coordinates, of the ticks of a `StageData`: [B, L, D] and [N, 2, D]."""

    trained: Tensor
    pairs: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "Latents":
        """Return a function of both."""
        return Latents(function(self.trained), function(self.pairs))

    def join(self, other: "Latents") -> "Latents":
        """Return the columns of both."""
        return Latents(torch.cat([self.trained, other.trained], -1), torch.cat([self.pairs, other.pairs], -1))

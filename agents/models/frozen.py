"""A pretrained encoder as an agent's world model: it encodes, and never trains."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from agents.common.streams import seeded
from agents.models.settings import FROZEN
from agents.models.world_model import WorldModel
from env.common.custom_class import load_callable

CHUNK = 64  # frames that are encoded together in calibration


class FrozenEncoder(WorldModel):
    """The leading principal components of what a fixed module returns for frames.

    The components are found in `calibrate`, on frames of the agent's own camera: an encoder of 2,048
    dimensions may have fewer than there are ticks to find a core on. All that follows is as for other kinds.

    Attributes:
        encoder: The module, uint8 [N, H, W, 3] -> [N, E]; always in evaluation mode, without gradients.
    """

    trains = False
    mean: Tensor
    projection: Tensor

    def __init__(self, encoder: nn.Module, frame_size: int, most: int) -> None:
        """Take an encoder.

        Args:
            encoder: uint8 [N, H, W, 3] -> [N, E].
            frame_size: Side of the square frames.
            most: Dimensions that are kept, at most.
        """
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        with torch.no_grad():
            width = encoder(torch.zeros(2, frame_size, frame_size, 3, dtype=torch.uint8)).shape[1]
        self.dim = min(width, most)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("projection", torch.eye(width, self.dim))

    def train(self, mode: bool = True) -> "FrozenEncoder":
        """Set the mode; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    @torch.no_grad()
    def calibrate(self, frames: Tensor) -> None:
        """Find the principal components on frames, uint8 [N, H, W, 3]."""
        latents = torch.cat([self._features(chunk) for chunk in frames.split(CHUNK)])
        self.mean.copy_(latents.mean(0))
        fewer = len(latents) < self.dim  # than dimensions: the others are arbitrary
        _, _, directions = torch.linalg.svd(latents - self.mean, full_matrices=fewer)
        self.projection.copy_(directions[: self.dim].T)

    def loss(self, frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, float]]:
        """Raise RuntimeError: there is nothing to train."""
        raise RuntimeError("a frozen encoder does not train")

    def encode(self, frames: Tensor) -> Tensor:
        """Return latents of single frames, uint8 [N, H, W, 3] -> float32 [N, D]."""
        with torch.no_grad():
            return (self._features(frames) - self.mean) @ self.projection

    def predict(self, latent: Tensor) -> Tensor:
        """Return the latent itself, [N, D]: a frozen encoder has no predictor."""
        return latent

    def _features(self, frames: Tensor) -> Tensor:
        found: Tensor = self.encoder(frames.to(self.mean.device))
        return found.float()


def load_frozen(kind: str) -> Callable[[], nn.Module]:
    """Return the class or factory that a kind "frozen:package.module:Class" names; its module is imported.

    Raises:
        ValueError: The kind is malformed, the module cannot be imported, or it holds nothing to call.
    """
    return load_callable("agents.kind", kind, "class or function that returns an encoder", FROZEN)


def build_encoder(kind: str, seed: Sequence[int]) -> nn.Module:
    """Return the encoder of a kind; weights that it draws follow from the seed.

    Raises:
        ValueError: See `load_frozen`; or it returns no torch module.
    """
    encoder = seeded(seed, load_frozen(kind))
    if not isinstance(encoder, nn.Module):
        raise ValueError(
            f"agents.kind={kind!r} returned {type(encoder).__name__}: return a torch.nn.Module that encodes "
            "uint8 [N, H, W, 3] to [N, D]"
        )
    return encoder

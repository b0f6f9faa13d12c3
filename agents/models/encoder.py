"""Convolutional encoders: pixels to latents."""

import torch
from torch import Tensor, nn

from agents.models.precision import mixed_precision
from agents.models.settings import EncoderConfig


class Normalize(nn.Module):
    """Subtract the agent's mean frame and divide by one standard deviation.

    Static content (floor, walls, bodies of peers) cancels, so that the encoder's first weights receive only
    what changes.

    Attributes:
        mean: [H * W * 3], in the order of a frame's bytes.
        scale: Scalar, the inverse standard deviation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, frame_size: int) -> None:
        """Start as the identity on [0, 255]."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(frame_size * frame_size * 3))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, frames: Tensor) -> None:
        """Set mean and scale from frames, uint8 [N, H, W, C]."""
        total = torch.zeros_like(self.mean, dtype=torch.float64)
        square = 0.0
        for chunk in frames.flatten(1).split(256):
            pixels = chunk.double()
            total += pixels.sum(0)
            square += float(pixels.square().sum())
        mean = total / len(frames)
        variance = square / (len(frames) * mean.numel()) - float(mean.square().mean())
        self.mean.copy_(mean)
        self.scale.fill_(1.0 / max(variance, 1e-6) ** 0.5)

    def forward(self, frames: Tensor, dtype: torch.dtype) -> Tensor:
        """Return normalized pixels, uint8 [N, H, W, C] -> dtype [N, C, H, W], channels last in memory."""
        if frames.dtype != torch.uint8:  # a copy of other types need not be one, and would be overwritten
            raise TypeError(f"frames must be uint8, got {frames.dtype}")
        # on flat rows this is one contiguous sweep; on [N, 3, H, W] it took as long as the network
        pixels = frames.flatten(1).to(dtype).sub_(self.mean.to(dtype)).mul_(self.scale.to(dtype))
        # a permuted NHWC array *is* a channels-last NCHW tensor: nothing is copied
        return pixels.view(frames.shape).permute(0, 3, 1, 2)


class ConvEncoder(nn.Sequential):
    """Three strided convolutions and a two-layer head; about 10 MFLOP a frame at 64x64.

    The first stride is 4: a CPU spends most of a small convolutional network in its first layer.
    """

    def __init__(
        self, frame_size: int, dim: int, width: int = 32, hidden: int = 256, batch_norm: bool = False
    ) -> None:
        """Build it for square frames whose side is a multiple of 16.

        Args:
            frame_size: Side of the frames.
            dim: Dimensions of a latent.
            width: Channels of the first convolution.
            hidden: Units between the convolutions and the latent.
            batch_norm: End in a batch normalization without parameters: each dimension of the latent has
                mean 0 and variance 1 over the batch.
        """
        side = frame_size // 16
        super().__init__(
            nn.Conv2d(3, width, 8, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(2 * width * side * side, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Linear(hidden, dim),
        )
        if batch_norm:
            self.append(nn.BatchNorm1d(dim, affine=False))


class FrameEncoder(nn.Module):
    """`Normalize`, then `ConvEncoder`, on every frame independently.

    Attributes:
        dim: Dimensions of a latent, D.
    """

    def __init__(self, config: EncoderConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__()
        self.dim = config.dim
        self.precision = config.precision
        self.normalize = Normalize(frame_size)
        self.net = ConvEncoder(frame_size, config.dim, config.width, config.hidden, config.batch_norm)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def calibrate(self, frames: Tensor) -> None:
        """Fix the mean frame and the scale, uint8 [N, H, W, C]."""
        self.normalize.fit(frames.to(self.normalize.mean.device))

    def forward(self, frames: Tensor) -> Tensor:
        """Return latents, uint8 [..., H, W, C] -> float32 [..., D].

        Raises:
            ValueError: The frames are not uint8; normalizing floats would overwrite them.
        """
        if frames.dtype != torch.uint8 or frames.ndim < 4:
            raise ValueError(f"frames are uint8 [N, H, W, C], got {frames.dtype} {tuple(frames.shape)}")
        device = self.normalize.mean.device
        flat = frames.flatten(0, -4).to(device)
        with mixed_precision(device, self.precision) as dtype:
            latents = self.net(self.normalize(flat, dtype)).float()
        return latents.unflatten(0, frames.shape[:-3])

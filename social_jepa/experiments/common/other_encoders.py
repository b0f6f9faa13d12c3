"""A custom world model whose encoder is not a convolutional network."""

from torch import Tensor, nn

from agents.models.jepa import Jepa
from agents.models.settings import ModelConfig

PATCH = 8  # pixels, the side of a patch
BLOCKS = 2


class MixerBlock(nn.Module):
    """Two residual perceptrons: one mixes the tokens of a channel, one the channels of a token.

    After MLP-Mixer (arXiv:2105.01601). Every pair of positions has its own weight, whereas a convolution
    shares weights across the image.
    """

    def __init__(self, tokens: int, channels: int) -> None:
        """Create it for inputs [N, tokens, channels]."""
        super().__init__()
        self.token_norm, self.channel_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.mix_tokens, self.mix_channels = _mlp(tokens), _mlp(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return mixed tokens, [N, tokens, channels] -> [N, tokens, channels]."""
        x = x + self.mix_tokens(self.token_norm(x).mT).mT
        return x + self.mix_channels(self.channel_norm(x))


class PatchEncoder(nn.Module):
    """Encoder of non-overlapping patches: mixer blocks, then the head of the convolutional encoder."""

    def __init__(self, frame_size: int, dim: int, channels: int, hidden: int) -> None:
        """Create it for square frames whose side is a multiple of PATCH."""
        super().__init__()
        tokens = (frame_size // PATCH) ** 2
        self.patches = nn.Conv2d(3, channels, PATCH, stride=PATCH)
        self.blocks = nn.Sequential(*(MixerBlock(tokens, channels) for _ in range(BLOCKS)))
        self.head = nn.Sequential(
            nn.LayerNorm(channels), nn.Flatten(), nn.Linear(tokens * channels, hidden),
            nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, dim),
        )  # fmt: skip

    def forward(self, frames: Tensor) -> Tensor:
        """Return latents, [N, C, H, W] -> [N, D]."""
        return self.head(self.blocks(self.patches(frames).flatten(2).mT))


class PatchEncoderJepa(Jepa):
    """The JEPA of `agents.models.jepa` with a PatchEncoder."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Create it for square frames of this side; weights are drawn from torch's global generator."""
        super().__init__(config, frame_size)
        self.encoder = self.build_encoder()

    def build_encoder(self) -> nn.Module:
        """Return an untrained PatchEncoder: further encoders have no convolution either."""
        config = self.config
        encoder = PatchEncoder(self.frame_size, config.dim, config.width, config.hidden)
        return encoder.to(self.normalize.mean.device)


def _mlp(size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))

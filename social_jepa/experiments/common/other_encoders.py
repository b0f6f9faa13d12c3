"""A world model whose encoder is no convolutional network: it joins the graph as a model of a user's own."""

from torch import Tensor, nn

from agents.models.settings import ModelConfig
from agents.models.world_model import Jepa

PATCH = 8  # pixels, the side of a patch
BLOCKS = 2


class MixerBlock(nn.Module):
    """Two residual perceptrons: one mixes the tokens of a channel, one the channels of a token.

    After MLP-Mixer (arXiv:2105.01601). Every pair of places has a weight of its own: nothing is shared across
    the picture, as it is in a convolution.
    """

    def __init__(self, tokens: int, channels: int) -> None:
        """Build it for sets of tokens of this size."""
        super().__init__()
        self.places, self.features = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.mix_places, self.mix_features = _perceptron(tokens), _perceptron(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens [N, tokens, channels] that have heard of each other."""
        x = x + self.mix_places(self.places(x).mT).mT
        return x + self.mix_features(self.features(x))


class PatchEncoder(nn.Module):
    """Patches that do not overlap, each a token; blocks that mix them; the convolutional encoder's head."""

    def __init__(self, frame_size: int, dim: int, channels: int, hidden: int) -> None:
        """Build it for square frames whose side is a multiple of PATCH."""
        super().__init__()
        tokens = (frame_size // PATCH) ** 2
        self.patches = nn.Conv2d(3, channels, PATCH, stride=PATCH)
        self.blocks = nn.Sequential(*(MixerBlock(tokens, channels) for _ in range(BLOCKS)))
        self.head = nn.Sequential(
            nn.LayerNorm(channels), nn.Flatten(), nn.Linear(tokens * channels, hidden),
            nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, dim),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        """Return codes, [N, C, H, W] -> [N, D]."""
        return self.head(self.blocks(self.patches(pictures).flatten(2).mT))


class PatchEncoderJepa(Jepa):
    """The plain JEPA with its objective, over a PatchEncoder."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__(config, frame_size)
        self.encoder = PatchEncoder(frame_size, config.dim, config.width, config.hidden)


def _perceptron(size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))

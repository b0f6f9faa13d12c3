"""What JEPAs are compared with: the same encoder under other losses, and pixels without any.

Each is a world model, so that it trains through the same agent, window and schedule, on as many frames. None
of them models time: what is expected at the next tick is what is there now.
"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.models.encoder import FrameEncoder, Normalise
from agents.models.losses import nt_xent_loss, prediction_loss
from agents.models.precision import mixed_precision
from agents.models.settings import EncoderConfig, ModelConfig
from agents.models.world_model import NO_SENSOR_DATA, ConditionedWorldModel, WorldModel
from env.recording import SensorData

PATCHES = 8  # of a masked picture, along each side
HIDDEN = 0.75  # share of its patches that are hidden, as in arXiv:2111.06377
TEMPERATURE = 0.5  # of SimCLR, as in arXiv:2002.05709 with small batches
PROJECTOR, PROJECTION = 128, 64  # hidden units and dimensions of what SimCLR's loss is taken in
SHIFT = 1 / 16  # of a view: furthest shift along each axis, as a share of the side
BRIGHTNESS = 0.2  # by how much its brightness strays from 1
NOISE = 5.0  # standard deviation of its grey noise, of 255


class EncoderBaseline(ConditionedWorldModel):
    """The encoder that JEPAs have; how it learns, its heirs decide."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__()
        self.config = config
        self.dim = config.dim
        sizes = EncoderConfig(config.dim, config.width, config.hidden, config.precision)
        self.encoder = FrameEncoder(sizes, frame_size)

    @abstractmethod
    def loss(
        self, frames: Tensor, generator: torch.Generator, senses: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of segments of consecutive ticks, uint8 [N, T, H, W, C], and its named parts."""

    def calibrate(self, frames: Tensor) -> None:
        """Take the mean picture and the spread, uint8 [N, H, W, C]."""
        self.encoder.calibrate(frames)

    def encode(self, frames: Tensor, senses: SensorData = NO_SENSOR_DATA) -> Tensor:
        """Return codes, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self.encoder(frames)

    def predict(self, latent: Tensor) -> Tensor:
        """Return what is there, [N, D] -> [N, D]."""
        return latent


class Autoencoder(EncoderBaseline):
    """Rebuilds the normalised picture from its code, through the encoder's mirror image."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__(config, frame_size)
        side, width = frame_size // 16, config.width
        self.decoder = nn.Sequential(
            nn.Linear(config.dim, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, 2 * width * side * side),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (2 * width, side, side)),
            nn.ConvTranspose2d(2 * width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, 3, 8, stride=4, padding=2),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(
        self, frames: Tensor, generator: torch.Generator, senses: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the mean squared error of what was to be rebuilt, uint8 [N, T, H, W, C]."""
        flat = frames.flatten(0, 1)
        with mixed_precision(self.encoder.normalise.mean.device, self.config.precision) as dtype:
            pixels = self.encoder.normalise(flat, dtype)  # [N T, C, H, W]
            shown, wanted = self.task(pixels, generator)
            rebuilt = self.decoder(self.encoder.net(shown))
        errors = (rebuilt.float() - pixels.float()).square() * wanted
        loss = errors.sum() / wanted.expand_as(errors).sum()
        return loss, {"rebuilding": loss.item()}

    def task(self, pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return what the encoder is shown, and 1 where it must be rebuilt, of pictures [N, C, H, W]."""
        return pixels, pixels.new_ones(1, 1, 1, 1, dtype=torch.float32)


class MaskedAutoencoder(Autoencoder):
    """Rebuilds hidden patches from the others; a hidden patch is shown as the mean picture."""

    def task(self, pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return what the encoder is shown, and 1 where it must be rebuilt, of pictures [N, C, H, W]."""
        count, side = len(pixels), pixels.shape[-1] // PATCHES
        lots = torch.rand(count, PATCHES * PATCHES, generator=generator)
        hidden = lots.argsort(dim=1) < round(HIDDEN * PATCHES * PATCHES)
        mask = hidden.view(count, 1, PATCHES, PATCHES).float().to(pixels.device)
        mask = mask.repeat_interleave(side, 2).repeat_interleave(side, 3)  # [N, 1, H, W]
        return pixels * (1 - mask).to(pixels.dtype), mask


class SimClr(EncoderBaseline):
    """Tells two views of one frame from the views of all others (arXiv:2002.05709)."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__(config, frame_size)
        self.projector = nn.Sequential(
            nn.Linear(config.dim, PROJECTOR, bias=False),
            nn.BatchNorm1d(PROJECTOR),
            nn.ReLU(inplace=True),
            nn.Linear(PROJECTOR, PROJECTION),
        )

    def loss(
        self, frames: Tensor, generator: torch.Generator, senses: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return how badly each view picks its partner, uint8 [N, T, H, W, C]."""
        flat = frames.flatten(0, 1)
        codes = self.encode(torch.cat([augment(flat, generator) for _ in range(2)])).chunk(2)
        first, second = (self.projector(code) for code in codes)
        loss = nt_xent_loss(first, second, TEMPERATURE)
        return loss, {"contrast": loss.item()}


def augment(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Return each frame shifted, brighter or darker, and with noise, uint8 [N, H, W, C].

    A shift repeats the edge that it leaves behind.
    """
    count, side, device = len(frames), frames.shape[1], frames.device
    reach = round(SHIFT * side)
    shifts = torch.randint(-reach, reach + 1, (2, count, 1), generator=generator)
    rows, columns = (torch.arange(side) + shifts).clamp(0, side - 1).to(device)  # [N, side] each
    moved = frames[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None]]
    light = 1 + BRIGHTNESS * (2 * torch.rand(count, 1, 1, 1, generator=generator) - 1)
    noise = NOISE * torch.randn(count, side, side, 1, generator=generator)
    return (moved * light.to(device) + noise.to(device)).clamp_(0, 255).to(torch.uint8)


class Supervised(EncoderBaseline):
    """Is told the true state: the first dimensions of its code learn to be where the objects are."""

    def loss(
        self, frames: Tensor, generator: torch.Generator, senses: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the error of the positions, uint8 [N, T, H, W, C].

        Raises:
            ValueError: The camera does not tell where the objects are.
        """
        if senses.targets is None:
            raise ValueError("a supervised model needs positions: record with Needs(task='positions')")
        told = torch.from_numpy(senses.targets).flatten(0, 1)  # [N T, P]
        latent = self.encode(frames.flatten(0, 1))
        loss = prediction_loss(latent[:, : told.shape[1]], told.to(latent))
        return loss, {"positions": loss.item()}


class PixelPca(WorldModel):
    """The leading principal components of the normalised pixels of the frames that it is calibrated on."""

    components: Tensor

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Make room for the components; nothing is learned by steps."""
        super().__init__()
        self.dim = config.dim
        self.normalise = Normalise(frame_size)
        self.register_buffer("components", torch.zeros(3 * frame_size * frame_size, config.dim))
        self.idle = nn.Parameter(torch.zeros(()))  # an optimiser wants one

    def calibrate(self, frames: Tensor) -> None:
        """Find the components, exactly, of uint8 frames [N, H, W, C] with N at least D."""
        self.normalise.fit(frames)
        rows = self._pixels(frames)
        # the covariance of N frames has rank N at most: their [N, N] products hold all of it
        values, axes = torch.linalg.eigh(rows @ rows.T)
        leading = rows.T @ axes[:, -self.dim :].flip(1)  # most variance first
        self.components.copy_(leading / values[-self.dim :].flip(0).clamp_min(1e-12).sqrt())

    def loss(self, frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, float]]:
        """Return 0: there is nothing to learn."""
        return self.idle.square(), {}

    def encode(self, frames: Tensor) -> Tensor:
        """Return the components' coordinates, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self._pixels(frames) @ self.components

    def predict(self, latent: Tensor) -> Tensor:
        """Return what is there, [N, D] -> [N, D]."""
        return latent

    def _pixels(self, frames: Tensor) -> Tensor:
        return self.normalise(frames, torch.float32).flatten(1)

"""Baselines of JEPA: the same encoder with other losses, and principal components of pixels.

Each is a world model, so that it is trained by the same agent, replay buffer and schedule on as many frames.
None of them models time: the predicted latent of the next tick is the latent of this tick.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from agents.models.encoder import FrameEncoder, Normalize
from agents.models.losses import nt_xent_loss, prediction_loss
from agents.models.precision import mixed_precision
from agents.models.settings import EncoderConfig, ModelConfig
from agents.models.world_model import NO_SENSOR_DATA, ConditionedWorldModel, WorldModel
from alignment.core import predictable_axes
from env.recording import SensorData

TEMPERATURE = 0.5  # of SimCLR, as in arXiv:2002.05709 with small batches
PROJECTOR_HIDDEN, PROJECTION_DIM = 128, 64  # of SimCLR's projector
MAX_SHIFT = 1 / 16  # of an augmented frame along each axis, as a share of its side
BRIGHTNESS = 0.2  # largest deviation of its brightness from 1
NOISE_STD = 5.0  # of its gray noise, for values up to 255
TICA_COMPONENTS, TICA_FRAMES = 256, 1024  # principal components of linear tICA, and frames they are found on


class EncoderBaseline(ConditionedWorldModel):
    """The encoder of the JEPAs; subclasses define the loss."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Create it for square frames of this side; weights are drawn from torch's global generator."""
        super().__init__()
        self.config = config
        self.dim = config.dim
        sizes = EncoderConfig(config.dim, config.width, config.hidden, config.precision)
        self.encoder = FrameEncoder(sizes, frame_size)

    @abstractmethod
    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of segments of consecutive ticks, uint8 [N, T, H, W, C], and its named terms."""

    def calibrate(self, frames: Tensor) -> None:
        """Fit the normalization of the input to frames, uint8 [N, H, W, C]."""
        self.encoder.calibrate(frames)

    def encode(self, frames: Tensor, sensor_data: SensorData = NO_SENSOR_DATA) -> Tensor:
        """Return latents, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self.encoder(frames)

    def predict(self, latent: Tensor) -> Tensor:
        """Return the latent itself, [N, D] -> [N, D]."""
        return latent


class Autoencoder(EncoderBaseline):
    """Reconstructs the normalized frame from its latent by a mirrored encoder."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Create it for square frames of this side; weights are drawn from torch's global generator."""
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
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the mean squared reconstruction error over all pixels, uint8 [N, T, H, W, C]."""
        flat = frames.flatten(0, 1)
        with mixed_precision(self.encoder.normalize.mean.device, self.config.precision) as dtype:
            pixels = self.encoder.normalize(flat, dtype)  # [N T, C, H, W]
            reconstructed = self.decoder(self.encoder.net(pixels))
        loss = (reconstructed.float() - pixels.float()).square().mean()
        return loss, {"reconstruction": loss.item()}


class SimClr(EncoderBaseline):
    """SimCLR with two augmentations of each frame as a positive pair (arXiv:2002.05709)."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Create it for square frames of this side; weights are drawn from torch's global generator."""
        super().__init__(config, frame_size)
        self.projector = nn.Sequential(
            nn.Linear(config.dim, PROJECTOR_HIDDEN, bias=False),
            nn.BatchNorm1d(PROJECTOR_HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(PROJECTOR_HIDDEN, PROJECTION_DIM),
        )

    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the NT-Xent loss of two augmentations of each frame, uint8 [N, T, H, W, C]."""
        flat = frames.flatten(0, 1)
        latents = self.encode(torch.cat([augment(flat, generator) for _ in range(2)])).chunk(2)
        first, second = (self.projector(latent) for latent in latents)
        loss = nt_xent_loss(first, second, TEMPERATURE)
        return loss, {"nt_xent": loss.item()}


def augment(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Return each frame with a random shift, brightness and noise, uint8 [N, H, W, C].

    A shift repeats the pixels at the edge.
    """
    count, side, device = len(frames), frames.shape[1], frames.device
    limit = round(MAX_SHIFT * side)
    shifts = torch.randint(-limit, limit + 1, (2, count, 1), generator=generator)
    rows, columns = (torch.arange(side) + shifts).clamp(0, side - 1).to(device)  # [N, side] each
    shifted = frames[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None]]
    brightness = 1 + BRIGHTNESS * (2 * torch.rand(count, 1, 1, 1, generator=generator) - 1)
    noise = NOISE_STD * torch.randn(count, side, side, 1, generator=generator)
    return (shifted * brightness.to(device) + noise.to(device)).clamp_(0, 255).to(torch.uint8)


class Supervised(EncoderBaseline):
    """Supervised regression: the first dimensions of the latent are trained to equal object positions."""

    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the mean squared error of the positions, uint8 [N, T, H, W, C].

        Raises:
            ValueError: The sensor data has no positions.
        """
        if sensor_data.targets is None:
            raise ValueError("a supervised model needs positions: record with SensorSpec(task='positions')")
        positions = torch.from_numpy(sensor_data.targets).flatten(0, 1)  # [N T, P]
        latent = self.encode(frames.flatten(0, 1))
        loss = prediction_loss(latent[:, : positions.shape[1]], positions.to(latent))
        return loss, {"positions": loss.item()}


class PixelPca(WorldModel):
    """Leading principal components of normalized pixels, fitted to the frames that calibrate it."""

    components: Tensor

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Create it with components of 0; `calibrate` computes them, training steps change nothing."""
        super().__init__()
        self.dim = config.dim
        self.normalize = Normalize(frame_size)
        self.register_buffer("components", torch.zeros(3 * frame_size * frame_size, config.dim))
        self.unused = nn.Parameter(torch.zeros(()))  # optimizers need a parameter

    def calibrate(self, frames: Tensor) -> None:
        """Compute the components of frames exactly, uint8 [N, H, W, C] with N >= D."""
        self.normalize.fit(frames)
        self.components.copy_(self._leading_components(frames, self.dim))

    def loss(self, frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, float]]:
        """Return a loss of 0: there is nothing to train."""
        return self.unused.square(), {}

    def encode(self, frames: Tensor) -> Tensor:
        """Return coordinates in the components, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self._pixels(frames) @ self.components

    def predict(self, latent: Tensor) -> Tensor:
        """Return the latent itself, [N, D] -> [N, D]."""
        return latent

    def _leading_components(self, frames: Tensor, count: int) -> Tensor:
        """Return components in the order of decreasing variance, each of length 1, [P, count]."""
        rows = self._pixels(frames)
        # The covariance of N frames has rank N at most: their [N, N] inner products determine it.
        values, axes = torch.linalg.eigh(rows @ rows.T)
        leading = rows.T @ axes[:, -count:].flip(1)
        return leading / values[-count:].flip(0).clamp_min(1e-12).sqrt()

    def _pixels(self, frames: Tensor) -> Tensor:
        return self.normalize(frames, torch.float32).flatten(1)


class LinearTica(PixelPca):
    """The linear functions of 256 principal components of pixels that predict their own next value best.

    Until `fit`, it is `PixelPca`.
    """

    def fit(self, read: Callable[[range], Tensor], ticks: range) -> None:
        """Find the functions on consecutive ticks.

        Args:
            read: Returns frames at ticks, uint8 [N, H, W, C].
            ticks: Consecutive ticks; the components are those of 1,024 of them, evenly spread.
        """
        sample = read(ticks[:: max(1, len(ticks) // TICA_FRAMES)])
        components = self._leading_components(sample, min(TICA_COMPONENTS, len(sample) // 4))
        chunks = [ticks[start : start + TICA_FRAMES] for start in range(0, len(ticks), TICA_FRAMES)]
        latents = torch.cat([self._pixels(read(chunk)) @ components for chunk in chunks])
        _, axes = predictable_axes(latents.double())
        self.components.copy_(components @ axes[:, : self.dim].float())
        self.fitted = True

    def calibrate(self, frames: Tensor) -> None:
        """Compute principal components of frames, uint8 [N, H, W, C]; once it is fitted, change nothing."""
        if not self.fitted:
            super().calibrate(frames)

    fitted = False

"""Baselines of JEPA that see time: the same encoder, trained on a frame and the next one by other losses."""

from collections.abc import Mapping

import torch
from torch import Tensor

from agents.models.losses import nt_xent_loss
from agents.models.precision import mixed_precision
from agents.models.world_model import NO_SENSOR_DATA
from env.recording import SensorData
from social_jepa.experiments.common.baselines import Autoencoder, SimClr

TEMPERATURE = 0.5  # of the contrast between segments


class TemporalInfoNce(SimClr):
    """Contrastive learning over time: two consecutive frames are a positive pair, without augmentation.

    Frames of other segments at the same place are the negatives; those of its own segment resemble a frame
    and are none (CPC, arXiv:1807.03748; TCN, arXiv:1704.06888).
    """

    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the NT-Xent loss, mean over consecutive ticks, uint8 [N, T, H, W, C] with N >= 2."""
        projected = self.projector(self.encode(frames.flatten(0, 1))).unflatten(0, frames.shape[:2])
        pairs = zip(projected.unbind(1)[:-1], projected.unbind(1)[1:], strict=True)
        loss = torch.stack([nt_xent_loss(now, later, TEMPERATURE) for now, later in pairs]).mean()
        return loss, {"info_nce": loss.item()}


class NextFrameAutoencoder(Autoencoder):
    """Predicts the next normalized frame from the latent of this one, by a mirrored encoder."""

    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the mean squared error of the next frame, uint8 [N, T, H, W, C]."""
        inputs, targets = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        normalize = self.encoder.normalize
        with mixed_precision(normalize.mean.device, self.config.precision) as dtype:
            predicted = self.decoder(self.encoder.net(normalize(inputs, dtype)))
            expected = normalize(targets, dtype)
        loss = (predicted.float() - expected.float()).square().mean()
        return loss, {"next_frame": loss.item()}

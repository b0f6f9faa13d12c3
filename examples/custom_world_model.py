"""A custom world model: PYTHONPATH=examples social-jepa run agents.kind=custom_world_model:MlpWorldModel"""

import torch
from torch import nn

from agents.models.losses import whitened_prediction_loss
from agents.models.world_model import WorldModel


class MlpWorldModel(WorldModel):
    """An MLP on frames downsampled to 16 x 16, trained with the default objective."""

    def __init__(self, config, frame_size):
        super().__init__()
        self.dim = config.dim
        self.pool = nn.AvgPool2d(frame_size // 16)
        self.register_buffer("mean", torch.zeros(3, 16, 16))
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(768, 512), nn.GELU(), nn.Linear(512, self.dim))

    def downsample(self, frames):  # uint8 [N, H, W, C] -> [N, 3, 16, 16]
        device = self.mean.device
        return self.pool(frames.to(device).permute(0, 3, 1, 2) / 32)

    def calibrate(self, frames):
        self.mean.copy_(self.downsample(frames).mean(0))

    def encode(self, frames):
        return self.net(self.downsample(frames) - self.mean)

    def loss(self, frames, generator):  # [N, T, H, W, C]: N segments of T consecutive ticks
        z = self.encode(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        loss = whitened_prediction_loss(z[:, :-1], z[:, 1:])
        return loss, {"prediction": loss.item()}

    def predict(self, latent):
        return latent

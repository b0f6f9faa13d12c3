"""A plain training step in PyTorch: the reference for the one that agents run.

Architecture, batch, objective and optimizer are equal. The differences: each frame is fetched, permuted and
converted to float separately, torch's default collate stacks them, everything is fp32 and contiguous NCHW,
and the optimizer is not fused.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from agents.models.losses import whitened_prediction_loss
from agents.models.settings import ModelConfig
from agents.training.settings import TrainingConfig
from agents.training.trainer import lr_factor


class Segments(Dataset[Tensor]):
    """All segments of consecutive frames, by their first frame."""

    def __init__(self, frames: np.ndarray, length: int) -> None:
        """Store uint8 frames [T, H, W, C]."""
        self.frames = frames
        self.length = length

    def __len__(self) -> int:
        return len(self.frames) - self.length + 1

    def __getitem__(self, start: int) -> Tensor:
        """Return one segment, float32 [T, C, H, W] in [0, 1]."""
        return torch.stack([
            torch.from_numpy(self.frames[index]).permute(2, 0, 1).float() / 255
            for index in range(start, start + self.length)
        ])  # fmt: skip


def loader(frames: np.ndarray, length: int, starts: Iterable[Sequence[int]]) -> DataLoader[Tensor]:
    """Return batches of segments, float32 [N, T, C, H, W], at the starts of each step."""
    return DataLoader(Segments(frames, length), batch_sampler=starts, num_workers=0)  # type: ignore[arg-type]


class PlainModel(nn.Module):
    """The encoder of the plain JEPA, after normalization of the pixels."""

    mean: Tensor
    spread: Tensor

    def __init__(self, config: ModelConfig, mean: Tensor, spread: Tensor) -> None:
        """Build an untrained encoder.

        Args:
            config: Sizes.
            mean: [C, H, W], pixels in [0, 1].
            spread: Scalar.
        """
        super().__init__()
        width, side = config.width, mean.shape[-1] // 16
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.net = nn.Sequential(
            nn.Conv2d(3, width, 8, stride=4, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * side * side, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.dim),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Encode frames, float32 [N, C, H, W] -> [N, D]."""
        return self.net((frames - self.mean) / self.spread)


class PlainTrainer:
    """Runs the same steps as agents.training.trainer.Trainer."""

    def __init__(self, model: PlainModel, config: ModelConfig, training: TrainingConfig) -> None:
        """Start at step 0."""
        self.model = model
        self.config = config
        self.training = training
        self.step = 0
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )

    def forward(self, batch: Tensor) -> Tensor:
        """Return the loss of segments, [N, T, C, H, W]."""
        latent = self.model(batch.flatten(0, 1)).unflatten(0, batch.shape[:2])  # [N, T, D]
        return whitened_prediction_loss(latent[:, :-1], latent[:, 1:], self.config.ridge)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        self.optimizer.zero_grad()
        loss.backward()

    def update(self) -> None:
        """Clip the gradients and update the weights."""
        training = self.training
        for group in self.optimizer.param_groups:
            group["lr"] = training.learning_rate * lr_factor(self.step, training.steps, training.warmup)
        nn.utils.clip_grad_norm_(self.model.parameters(), training.grad_clip_norm)
        self.optimizer.step()
        self.step += 1

"""The contract of a world model: what an agent calls, and what a custom model must define."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from env.recording import SensorData

NO_SENSOR_DATA = SensorData()


class WorldModel(nn.Module, ABC):
    """Base class of world models; a subclass with the same constructor as `Jepa` can be an agent's.

    An agent builds it with ``Class(config, frame_size)``, calibrates it once, trains on `loss`, and
    publishes latents from `encode`. `agents.models.checker.check_world_model` checks an instance.

    Attributes:
        dim: Dimensions of the latents that `encode` returns, D.
        trains: Whether it is trained; False for a frozen encoder alone.
    """

    dim: int
    trains: ClassVar[bool] = True

    @abstractmethod
    def calibrate(self, frames: Tensor) -> None:
        """Fix the normalization of the input, before the first training step.

        Args:
            frames: uint8 [N, H, W, C], from the agent's own replay buffer.
        """

    @abstractmethod
    def loss(self, frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of segments of consecutive ticks, and its terms by name.

        Args:
            frames: uint8 [N, T, H, W, C].
            generator: Source of all random numbers of the loss; seeded by the step, so that a resumed run
                draws the same ones.

        Returns:
            A scalar with a gradient, and the terms as floats.
        """

    @abstractmethod
    def encode(self, frames: Tensor) -> Tensor:
        """Return latents of single frames, uint8 [N, H, W, C] -> float32 [N, D]."""

    @abstractmethod
    def predict(self, latent: Tensor) -> Tensor:
        """Return the latent expected at the next tick, [N, D] -> [N, D]."""

    def after_step(self) -> None:
        """Update what no gradient moves, such as a target network; called after each optimizer step."""

    def lr_multipliers(self) -> Mapping[str, float]:
        """Return learning-rate multipliers by prefix of a parameter's name; 1 for all other parameters."""
        return {}


class ConditionedWorldModel(WorldModel):
    """A world model that also needs sensor data: view actions, actions or targets.

    Frames are uint8 [..., H, W, C], or [..., M, H, W, C] where M > 1 views are taken at each tick. The
    leading axes of the sensor data are those of the frames' ticks.
    """

    @abstractmethod
    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of segments of consecutive ticks, [N, T, ...], and its terms by name."""

    @abstractmethod
    def encode(self, frames: Tensor, sensor_data: SensorData = NO_SENSOR_DATA) -> Tensor:
        """Return latents of single ticks, [N, ...] -> float32 [N, D]."""


def loss_with(
    model: WorldModel, frames: Tensor, generator: torch.Generator, sensor_data: SensorData
) -> tuple[Tensor, Mapping[str, float]]:
    """Return a model's loss and its terms, passing sensor data only to a `ConditionedWorldModel`."""
    if isinstance(model, ConditionedWorldModel):
        return model.loss(frames, generator, sensor_data)
    return model.loss(frames, generator)


def encode_with(model: WorldModel, frames: Tensor, sensor_data: SensorData) -> Tensor:
    """Return latents [N, D], passing sensor data only to a `ConditionedWorldModel`."""
    if isinstance(model, ConditionedWorldModel):
        return model.encode(frames, sensor_data)
    return model.encode(frames)

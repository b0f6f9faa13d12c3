"""seq-JEPA and P-JEPA as agents: world models that learn from segments of ticks and sensor data."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from agents.models.p_jepa import PJepa, RandomNetworkTarget
from agents.models.predictors import LinearPredictor
from agents.models.seq_jepa import SeqJepa
from agents.models.settings import ModelConfig
from agents.models.world_model import NO_SENSOR_DATA, ConditionedWorldModel
from env.recording import SensorData


class SeqJepaAgent(ConditionedWorldModel):
    """seq-JEPA over the views of one tick; the readout of the aggregate of all views is the latent.

    The paper's model predicts views, not time. A running least-squares map from one tick's readout to the
    next one's is added for `predict`.
    """

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__()
        self.config = config.seq_jepa
        self.seq = SeqJepa(config.seq_jepa, frame_size, action_dim=2)
        self.dim = self.seq.dim
        self.predictor = LinearPredictor(self.dim)

    def calibrate(self, frames: Tensor) -> None:
        """Fix the mean frame and the scale, uint8 [N, M, H, W, C] or [N, H, W, C]."""
        self.seq.calibrate(frames.flatten(0, -4))

    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of views at consecutive ticks, uint8 [N, T, M, H, W, C], and its terms."""
        loss, terms, readout = self.seq.loss_and_readout(frames, self._view_actions(sensor_data))
        readout = readout.detach()
        self.predictor.update(readout[:, :-1].flatten(0, 1), readout[:, 1:].flatten(0, 1))
        return loss, terms

    def encode(self, frames: Tensor, sensor_data: SensorData = NO_SENSOR_DATA) -> Tensor:
        """Return the readout of all views at each tick, uint8 [N, M, H, W, C] -> float32 [N, D].

        Single views, uint8 [N, H, W, C], are sequences of one.
        """
        if frames.ndim == 4:
            return self.seq.encode(frames)
        return self.seq.readout(self.seq.aggregate(frames, self._view_actions(sensor_data)))

    def predict(self, latent: Tensor) -> Tensor:
        """Return the readout expected at the next tick, [N, D] -> [N, D]."""
        return self.predictor(latent)

    def after_step(self) -> None:
        """Move the target network."""
        self.seq.update_ema()

    @staticmethod
    def _view_actions(sensor_data: SensorData) -> Tensor:
        return torch.from_numpy(_require(sensor_data.view_actions, "seq_jepa", "view actions"))


class PJepaAgent(ConditionedWorldModel):
    """P-JEPA over consecutive ticks: what moves the objects is the action, and a task prevents collapse."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__()
        self.config = config.p_jepa
        spec = self.config.sensor_spec()
        self.action_dim = 2 * self.config.controlled_objects
        self.target: RandomNetworkTarget | None = None
        if not spec.task:
            seed = int(torch.randint(2**62, ()))  # two agents have different target functions
            self.target = RandomNetworkTarget(frame_size, seed, self.config.random_target_dim)
        target_dim = spec.target_dim if self.target is None else self.target.dim
        self.model = PJepa(self.config, frame_size, self.action_dim, target_dim)
        self.dim = self.model.dim

    def calibrate(self, frames: Tensor) -> None:
        """Fix the mean frame and the scale, uint8 [N, H, W, C]."""
        self.model.calibrate(frames)
        if self.target is not None:
            self.target.calibrate(frames)

    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of the transitions in segments, uint8 [N, T, H, W, C], and its terms."""
        actions = torch.from_numpy(_require(sensor_data.actions, "p_jepa", "actions"))[:, :-1]
        now, later = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        if self.target is not None:
            targets = self.target(now)
        else:
            values = torch.from_numpy(_require(sensor_data.targets, "p_jepa", "targets of its task"))
            targets = values[:, :-1].flatten(0, 1)
        return self.model.loss(now, actions.flatten(0, 1), later, targets)

    def encode(self, frames: Tensor, sensor_data: SensorData = NO_SENSOR_DATA) -> Tensor:
        """Return latents, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self.model.encode(frames)

    def predict(self, latent: Tensor) -> Tensor:
        """Return the latent after the mean action, which is zero, [N, D] -> [N, D]."""
        if self.model.transition is None:
            return latent
        return self.model.predict(latent, latent.new_zeros(len(latent), self.action_dim))

    def lr_multipliers(self) -> Mapping[str, float]:
        """Return the encoder's learning-rate multiplier."""
        return {"model.encoder.": self.config.encoder_lr_multiplier}


def _require(data: np.ndarray | None, kind: str, what: str) -> np.ndarray:
    if data is None:
        raise ValueError(
            f"a {kind} model needs {what}: record with env.sensors.SensorRecorder and "
            "the sensor_spec() of the model's settings"
        )
    return data

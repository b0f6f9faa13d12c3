"""seq-JEPA and P-JEPA as agents: they learn from segments of ticks and from what their cameras tell."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from agents.models import losses
from agents.models.p_jepa import PJepa, RandomNetworkTarget
from agents.models.seq_jepa import SeqJepa
from agents.models.settings import ModelConfig
from agents.models.world_model import NO_SENSOR_DATA, ConditionedWorldModel, LinearPredictor
from env.recording import SensorData


class SeqJepaAgent(ConditionedWorldModel):
    """seq-JEPA over the looks of one tick; the aggregate of all looks, read out, is its anchor.

    What comes next in time is no part of the paper's model: a running least-squares map from one tick's
    read-out to the next one's predicts it.
    """

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__()
        self.config = config.seq_jepa
        self.seq = SeqJepa(config.seq_jepa, frame_size, action_dim=2)
        self.dim = self.seq.dim
        self.predictor = LinearPredictor(self.dim)

    def calibrate(self, frames: Tensor) -> None:
        """Take the mean picture and the spread, uint8 [N, M, H, W, C] or [N, H, W, C]."""
        self.seq.calibrate(frames.flatten(0, -4))

    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of looks at consecutive ticks, uint8 [N, T, M, H, W, C], and its named parts."""
        loss, summary = self.seq.predict_view(frames, self._turns(sensor_data))
        parts = {"prediction": loss.item()}
        context, target = summary[:, :-1].flatten(0, 1), summary[:, 1:].flatten(0, 1)
        self.predictor.update(context.detach(), target.detach())
        if self.config.temporal_weight:
            later = losses.whitened_prediction_loss(context, target, self.config.ridge)
            loss, parts["ticks"] = loss + self.config.temporal_weight * later, later.item()
        return loss, parts

    def encode(self, frames: Tensor, sensor_data: SensorData = NO_SENSOR_DATA) -> Tensor:
        """Return the read-out of all looks at each tick, uint8 [N, M, H, W, C] -> float32 [N, D].

        A single look, uint8 [N, H, W, C], is a sequence of one.
        """
        if frames.ndim == 4:
            return self.seq.encode(frames)
        return self.seq.read_out(self.seq.aggregate(frames, self._turns(sensor_data)))

    def predict(self, latent: Tensor) -> Tensor:
        """Return the read-out expected at the next tick, [N, D] -> [N, D]."""
        return self.predictor(latent)

    def after_step(self) -> None:
        """Move the target network."""
        self.seq.update_ema()

    @staticmethod
    def _turns(senses: SensorData) -> Tensor:
        return torch.from_numpy(_given(senses.view_actions, "seq_jepa", "the turns between its looks"))


class PJepaAgent(ConditionedWorldModel):
    """P-JEPA over consecutive ticks: what pushes the objects is the action, a task keeps codes apart."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__()
        self.config = config.p_jepa
        needs = self.config.sensor_spec()
        self.action_dim = 2 * self.config.controlled_objects
        self.target: RandomNetworkTarget | None = None
        if not needs.task:
            seed = int(torch.randint(2**62, ()))  # of its own: agents share no function
            self.target = RandomNetworkTarget(frame_size, seed, self.config.random_target_dim)
        told = needs.target_dim if self.target is None else self.target.dim
        self.model = PJepa(self.config, frame_size, self.action_dim, told)
        self.dim = self.model.dim

    def calibrate(self, frames: Tensor) -> None:
        """Take the mean picture and the spread, uint8 [N, H, W, C]."""
        self.model.calibrate(frames)
        if self.target is not None:
            self.target.calibrate(frames)

    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of the steps within segments, uint8 [N, T, H, W, C], and its named parts."""
        pushes = torch.from_numpy(_given(sensor_data.actions, "p_jepa", "the pushes of the objects"))[:, :-1]
        now, later = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        if self.target is not None:
            told = self.target(now)
        else:
            values = torch.from_numpy(_given(sensor_data.targets, "p_jepa", "the values of its task"))
            told = values[:, :-1].flatten(0, 1)
        return self.model.loss(now, pushes.flatten(0, 1), later, told)

    def encode(self, frames: Tensor, sensor_data: SensorData = NO_SENSOR_DATA) -> Tensor:
        """Return codes, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self.model.encode(frames)

    def predict(self, latent: Tensor) -> Tensor:
        """Return where the mean push, which is none, leads, [N, D] -> [N, D]."""
        if self.model.transition is None:
            return latent
        return self.model.predict(latent, latent.new_zeros(len(latent), self.action_dim))

    def lr_multipliers(self) -> Mapping[str, float]:
        """Return the encoder's share of the learning rate."""
        return {"model.encoder.": self.config.encoder_lr_multiplier}


def _given(sense: np.ndarray | None, kind: str, what: str) -> np.ndarray:
    if sense is None:
        raise ValueError(
            f"a {kind} model needs {what}: record with env.sensors.SensingRecorder and its needs()"
        )
    return sense

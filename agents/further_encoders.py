"""An agent's search for further encoders, and what of it the publication of its model takes over."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from safetensors.torch import save
from torch import Tensor

from agents.common.files import digest
from agents.common.streams import Stream
from agents.models.world_model import WorldModel
from agents.spec import AgentSpec
from agents.tick_plan import TickPlan
from agents.training.checkpoint import model_tensors
from agents.training.stage_data import StageData
from agents.training.staged_core import StagedCore
from agents.training.stages import can_have_stages, compose_again, find_stages
from agents.training.trainer import Trainer
from alignment.core import CoreBasis
from env.scene import Scene

STAGES = "training stages"  # a phase


class SearchingAgent(Protocol):
    """What the search needs of an `agents.agent.Agent`."""

    spec: AgentSpec
    scene: Scene
    model: WorldModel
    trainer: Trainer
    phase: str
    stage_steps: int | None
    ticks: TickPlan

    def read_frames(self, ticks: np.ndarray) -> Tensor:
        """Return the frames of ticks, uint8 [K, H, W, C]."""

    def stream_seed(self, stream: Stream, *numbers: int) -> Sequence[int]:
        """Return the seed of one of its random streams."""


class FurtherEncoders:
    """The search of one agent.

    It measures on the ticks that a core is found and chosen on, so that a publication which follows needs
    neither to render these again nor, where the first encoder remains the only one, to find the core again.
    """

    def __init__(self, agent: SearchingAgent) -> None:
        """Search for further encoders of this agent."""
        self._agent = agent
        self.forget()

    def forget(self) -> None:
        """Drop what a publication would take over: the frames or the model are of the past."""
        self._frames: dict[bytes, Tensor] = {}  # that no replay buffer holds
        # of which model and ticks, and `Agent.find_axes` of these
        self._axes: tuple[tuple[str, bytes, int], CoreBasis, Tensor] | None = None

    def find(self, stop: Callable[[], bool]) -> bool:
        """Train further encoders if this kind of model has them; return whether that is finished."""
        agent, model = self._agent, self._agent.model
        if not can_have_stages(model):
            agent.stage_steps = 0
            return True
        agent.phase = STAGES
        began = time.perf_counter()
        data, scene = self.data(), agent.scene
        core = StagedCore(data.latents(model, model.encoder))
        seed = agent.stream_seed(Stream.STAGES, agent.spec.pose_version)
        agent.stage_steps = find_stages(model, data, core, agent.spec.training, seed, stop)
        if agent.stage_steps is not None and not core.stages and agent.scene is scene:
            self._axes = self._key(), core.found, core.first.pairs
        agent.trainer.train_seconds += time.perf_counter() - began
        agent.trainer.steps_this_process += agent.stage_steps or 0
        return agent.stage_steps is not None

    def compose_again(self) -> None:
        """Solve the model's axes again where its first encoder has been trained beyond its schedule."""
        agent = self._agent
        if can_have_stages(agent.model) and agent.trainer.step > agent.spec.training.steps:
            compose_again(agent.model, self.data())

    def take_axes(self) -> tuple[CoreBasis, Tensor] | None:
        """Return `Agent.find_axes` of the model as it is; None where the search has not found them."""
        known = self._axes
        return known[1:] if known is not None and known[0] == self._key() else None

    def take_frames(self, ticks: np.ndarray) -> Tensor | None:
        """Return frames that the search has rendered, once, uint8 [K, H, W, C]; None of other ticks."""
        return self._frames.pop(ticks.tobytes(), None)

    def _key(self) -> tuple[str, bytes, int]:
        agent = self._agent
        tensors = {name: each.contiguous() for name, each in model_tensors(agent.model).items()}
        return digest(save(tensors)), self._axis_ticks().tobytes(), agent.trainer.seen_stop

    def data(self) -> StageData:
        """Return the ticks that a core is found and chosen on."""
        agent = self._agent
        return StageData(self._axis_ticks(), agent.ticks.core_eval(agent.trainer.seen_stop), self._read)

    def _axis_ticks(self) -> np.ndarray:
        return self._agent.ticks.axes(self._agent.trainer.replay_buffer.ticks)

    def _read(self, ticks: np.ndarray) -> Tensor:
        frames = self._agent.read_frames(ticks)
        if not self._agent.trainer.replay_buffer.holds(ticks):
            self._frames[ticks.tobytes()] = frames
        return frames

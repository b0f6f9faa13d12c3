"""A camera in a public scene: what peers get embeddings of where those of an agent's own scene stay private.

The public scene has the settings of the agent's own and another seed, on which peers agree. No bodies stand
in it, since where they stand is part of the own scene. The agent sees it from its own pose.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from agents.common.streams import Stream, stream_seed
from agents.models.world_model import WorldModel, encode_with
from agents.spec import AgentSpec
from env.recording import ReplayBuffer
from env.renderer import Renderer
from env.scene import Scene
from env.sensors import SensorRecorder

CHUNK = 512  # ticks rendered and encoded at a time


class PublicCamera:
    """An agent's camera in the public scene; of what it sees nothing follows from the seed of the run.

    Attributes:
        scene: The public scene.
        recorder: Renders what the camera sees of it.
    """

    def __init__(self, spec: AgentSpec, seed: int, renderer: Renderer) -> None:
        """Set it up; nothing is rendered yet.

        Args:
            spec: The agent.
            seed: Seed of the public scene.
            renderer: That of the agent.
        """
        self.scene = Scene(spec.scene, seed)
        self.recorder = SensorRecorder(
            self.scene, renderer, spec.pose, spec.name, spec.model.sensor_spec_of(spec.kind),
            stream_seed(seed, spec.index, Stream.VIEWS),
        )  # fmt: skip

    @torch.inference_mode()
    def encode(
        self, model: WorldModel, ticks: range, on_progress: Callable[[], None] = lambda: None
    ) -> Tensor:
        """Return latents of K ticks, float32 [K, D], in the model's own axes.

        Args:
            model: Encodes the frames.
            ticks: The ticks.
            on_progress: Called before every part.
        """
        model.eval()
        found = []
        for start in range(0, len(ticks), CHUNK):
            on_progress()
            chunk = np.array(ticks[start : start + CHUNK])
            frames = torch.from_numpy(self.recorder.record(chunk).frames)
            found.append(encode_with(model, frames, self.recorder.sensor_data(chunk)).cpu())
        return torch.cat(found)

    def record(self, first: int, count: int) -> ReplayBuffer:
        """Return frames of consecutive ticks."""
        buffer = ReplayBuffer(self.recorder, first, count)
        buffer.advance_to(first + count)
        return buffer

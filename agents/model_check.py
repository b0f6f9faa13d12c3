"""Check the world model of an agent against the contract before minutes of training."""

from typing import TYPE_CHECKING

from agents.common.streams import Stream
from agents.models.checker import check_frozen_encoder, check_world_model
from agents.models.frozen import FrozenEncoder
from agents.models.registry import build_world_model

if TYPE_CHECKING:
    from agents.agent import Agent


def check_model(agent: "Agent") -> None:
    """Check a custom world model or a pretrained encoder; others need no check.

    Raises:
        WorldModelError: It breaks the contract; the text says where and how to fix it.
    """
    model, spec = agent.model, agent.spec
    if isinstance(model, FrozenEncoder):
        check_frozen_encoder(model.encoder, spec.scene.frame_size)
    elif ":" in spec.kind:
        seed = agent.stream_seed(Stream.MODEL_CHECK)
        check_world_model(
            model,
            spec.scene.frame_size,
            rebuild=lambda: build_world_model(spec.kind, spec.model, spec.scene.frame_size, seed),
        )

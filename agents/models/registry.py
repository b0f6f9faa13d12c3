"""Build the world model that an agent's kind names."""

from collections.abc import Sequence

from agents.common.streams import seeded
from agents.models.frozen import FrozenEncoder, build_encoder
from agents.models.settings import FROZEN, KINDS, ModelConfig, check_kind
from agents.models.world_model import WorldModel
from env.common.custom_class import load_class


def build_world_model(kind: str, config: ModelConfig, frame_size: int, seed: Sequence[int]) -> WorldModel:
    """Return a world model whose first weights follow from the seed alone.

    Args:
        kind: One of agents.models.settings.KINDS, "package.module:Class" of a custom world model, or
            "frozen:package.module:Class" of a pretrained encoder.
        config: Sizes and objective.
        frame_size: Side of the square frames.
        seed: Integers of the random stream of the weights.

    Raises:
        ValueError: The kind is unknown, or names no world model.
    """
    if kind.startswith(FROZEN):
        return FrozenEncoder(build_encoder(kind, seed), frame_size, config.dim)
    build = load_kind(kind)
    return seeded(seed, lambda: build(config, frame_size))


def load_kind(text: str) -> type[WorldModel]:
    """Return the class that a kind names; the module of a custom world model is imported, and so executed.

    Args:
        text: One of agents.models.settings.KINDS, or "package.module:Class".

    Raises:
        ValueError: The kind is unknown, its module cannot be imported, or it names no class that defines
            every abstract method of agents.models.world_model.WorldModel.
    """
    if ":" not in text:
        check_kind(text)
        text = KINDS[text]
    return load_class("agents.kind", text, WorldModel, "world model")  # type: ignore[type-abstract]

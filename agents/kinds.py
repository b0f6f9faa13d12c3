"""Build the world model that an agent's kind names."""

from collections.abc import Sequence
from importlib import import_module

import numpy as np
import torch

from agents.settings import KINDS, ModelConfig, check_kind
from agents.world_model import WorldModel


def build_world_model(kind: str, config: ModelConfig, frame_size: int, seed: Sequence[int]) -> WorldModel:
    """Build a world model whose first weights follow from the seed alone.

    Args:
        kind: One of agents.settings.KINDS.
        config: Sizes and objective.
        frame_size: Side of the square frames it will see.
        seed: Words of the agent's own seed.

    Raises:
        ValueError: Nobody knows that kind.
    """
    check_kind(kind)
    module, _, name = KINDS[kind].partition(":")
    make = getattr(import_module(module), name)
    word = int(np.random.SeedSequence(list(seed)).generate_state(1)[0])
    # torch's layers draw from the global generator: borrow it and give it back as it was
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(word)
        return make(config, frame_size)

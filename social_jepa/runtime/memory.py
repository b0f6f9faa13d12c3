"""Memory that agents need, and a refusal of what cannot fit before anything is recorded."""

from social_jepa.config.run_config import RunConfig
from social_jepa.runtime.errors import NotEnoughMemoryError
from social_jepa.system.machine import available_memory

# Of a process with an agent that has recorded nothing, in bytes: its share of memory (PSS) was 0.29 GiB where
# this was measured. Activations and copies come on top: a run that passes may still need more.
PROCESS_BYTES = 290 * 2**20
RAY_BYTES = 560 * 2**20  # of a local Ray and the supervisor together, measured likewise


def agent_memory(config: RunConfig) -> int:
    """Return bytes of memory that an agent with these settings needs at least."""
    return PROCESS_BYTES + config.training.replay_ticks * 3 * config.scene.frame_size**2


def check_memory(config: RunConfig, count: int, available: int | None = None, base: int = 0) -> None:
    """Raise NotEnoughMemoryError unless this machine has memory for so many more agents.

    Args:
        config: Settings of each.
        count: Number of agents to start.
        available: Bytes that can be had; default: measured now.
        base: Bytes for what is started beside them.
    """
    free = available_memory() if available is None else available
    if base + count * agent_memory(config) > free:
        raise NotEnoughMemoryError(count, agent_memory(config), free, base)

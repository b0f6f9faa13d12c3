"""Memory and disk that agents need, and a refusal of what cannot fit before anything is recorded."""

import shutil

from env.frame_storage import scratch_folder
from social_jepa.config.run_config import RunConfig
from social_jepa.runtime.resource_errors import NotEnoughDiskError, NotEnoughMemoryError
from social_jepa.system.machine import available_memory

# Of a process with an agent that has recorded nothing, in bytes: its share of memory (PSS) was 0.29 GiB where
# this was measured. Activations and copies come on top: a run that passes may still need more.
PROCESS_BYTES = 290 * 2**20
RAY_BYTES = 560 * 2**20  # of a local Ray and the supervisor together, measured likewise


def replay_bytes(config: RunConfig) -> int:
    """Return bytes of the frames in the replay buffer of an agent with these settings."""
    return config.training.replay_ticks * 3 * config.scene.frame_size**2


def agent_memory(config: RunConfig) -> int:
    """Return bytes of memory that an agent needs at least, with its part of a process that it shares."""
    frames = replay_bytes(config) if config.training.replay_storage == "memory" else 0
    return PROCESS_BYTES // config.agents.per_actor + frames


def check_room(
    config: RunConfig, count: int, available: int | None = None, base: int = 0, disk: int | None = None
) -> None:
    """Raise an error unless this machine has memory, and room on its disk, for so many more agents.

    Args:
        config: Settings of each.
        count: Number of agents to start.
        available: Bytes of memory that can be had; default: measured now.
        base: Bytes of memory for what is started beside them.
        disk: Bytes free for the files of replay buffers; default: measured now.

    Raises:
        NotEnoughMemoryError: They do not fit into memory.
        NotEnoughDiskError: The files of their replay buffers do not fit on the disk.
    """
    free = available_memory() if available is None else available
    each, in_memory = agent_memory(config), config.training.replay_storage == "memory"
    if base + count * each > free:
        raise NotEnoughMemoryError(count, each, free, base, frames=in_memory)
    if in_memory:
        return
    folder = scratch_folder()
    room = shutil.disk_usage(folder).free if disk is None else disk
    if count * replay_bytes(config) > room:
        raise NotEnoughDiskError(count, replay_bytes(config), room, folder)

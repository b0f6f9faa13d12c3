"""What is checked before a run starts anything or creates its folder: only what is cheap to find out."""

import socket

from agents.common.device import check_device
from agents.models.settings import FROZEN
from env.custom_scenes.checker import check_dynamics, check_renderer
from env.sources.checker import check_source
from social_jepa.config.run_config import RunConfig
from social_jepa.runtime.capacity import Node, find_shortage
from social_jepa.runtime.memory import RAY_BYTES, check_room
from social_jepa.runtime.resource_errors import NoRoomError
from social_jepa.system.check import require
from social_jepa.system.host_checks import check_system, check_tasks, check_temporary_folder
from social_jepa.system.imports import check_imports
from social_jepa.system.machine import usable_cpus


def check_before_start(config: RunConfig, address: str | None) -> None:
    """Raise an error if a run would fail for a reason that is known already.

    Args:
        config: Settings of the run.
        address: Ray cluster to join; None or "local": a local Ray is started.

    Raises:
        UnfitMachineError: A check fails without which Ray or its workers cannot start.
        SceneError: Custom dynamics or a custom renderer break their contract.
        SourceContractError: A custom source of frames breaks its contract.
        ValueError: The class of a frozen encoder cannot be loaded.
        ConfigError: This machine has no such torch device.
        NotEnoughMemoryError: The agents do not fit into its memory.
        NotEnoughDiskError: Their replay buffers do not fit on its disk.
        NoRoomError: An agent reserves more GPUs than this machine has.
    """
    require(check_system(), check_imports(current_folder=True))
    if (address or "local") == "local":
        require(check_temporary_folder(), check_tasks(config.agents.processes))
        check_device(config.agents.device)
        check_room(config, config.agents.in_memory, base=RAY_BYTES)
        _check_gpus(config)
    for kind in {config.kind(index) for index in range(config.agents.count)}:
        if kind.startswith(FROZEN):
            from agents.models.frozen import load_frozen  # imports torch

            load_frozen(kind)
    if config.scene.source:
        if ":" in config.scene.source:
            check_source(config.scene.source, config.scene.frames, config.scene.frame_size)
        return
    if ":" in config.scene.dynamics:
        check_dynamics(config.scene, config.seed)
    if ":" in config.scene.renderer:
        check_renderer(config.scene, config.seed, config.poses())


def _check_gpus(config: RunConfig) -> None:
    """Raise NoRoomError where a local Ray, which has all GPUs of this machine, has too few for an agent."""
    if not config.agents.gpus:
        return
    from social_jepa.runtime.cluster import local_gpus  # imports Ray

    cpus, gpus = float(usable_cpus()), local_gpus()
    here = Node("", socket.gethostname(), cpus=cpus, gpus=gpus, free_cpus=cpus, free_gpus=gpus)
    if shortage := find_shortage([here], 0.0, config.agents.gpus):
        raise NoRoomError(config.names()[0], str(shortage))

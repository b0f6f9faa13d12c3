"""Which torch device an agent uses, and that it exists before work is given to it."""

import socket

from agents.common.config_error import ConfigError


def check_device(wanted: str) -> None:
    """Raise ConfigError, which names the devices of this machine, unless it has a torch device.

    Args:
        wanted: auto, cpu, cuda, cuda:<number> or mps.
    """
    if wanted in ("auto", "cpu"):
        return
    import torch  # here: it takes seconds, and most runs name no device

    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    if (f"{wanted}:0" if wanted == "cuda" else wanted) not in found:
        raise ConfigError(
            f"torch has {', '.join(found)} on {socket.gethostname()}",
            "agents.device", wanted, "choose one of these, or auto",
        )  # fmt: skip


def select_device(wanted: str, has_gpu: bool) -> str:
    """Return the torch device to use: the wanted one, or for "auto" the first GPU if the process has one.

    Args:
        wanted: auto, cpu, cuda, cuda:<number> or mps.
        has_gpu: Whether a GPU is there for this process, not only in this machine.

    Raises:
        ConfigError: This machine has no such device.
    """
    check_device(wanted)
    if wanted != "auto":
        return wanted
    return "cuda:0" if has_gpu else "cpu"

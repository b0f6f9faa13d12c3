"""Check that a torch device exists before work is given to it."""

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

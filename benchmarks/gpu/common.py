"""The device of the GPU benchmarks, and its peak throughput."""

import math
import re
from collections.abc import Sequence

import torch

from benchmarks.harness import BenchmarkError
from social_jepa.config.run_config import load_config

# Dense matrix products in bf16 (fp16 where a GPU has no bf16), FLOP/s, as data sheets say; by the name that
# torch gives the device, in capitals and without the words of `NOT_A_MODEL`.
PEAKS = {
    "B200": 2250e12, "H200": 989e12, "H100 PCIE": 756e12, "H100 NVL": 835e12, "H100": 989e12,
    "A100": 312e12, "A100 PCIE": 312e12, "L40S": 362e12, "L4": 121e12, "A10G": 70e12, "A10": 125e12,
    "T4": 65e12, "V100": 125e12, "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip
NOT_A_MODEL = re.compile(r"NVIDIA|TESLA|GEFORCE|SXM\d?|\d+GB|HBM\d\w?")  # maker, socket, memory


def wanted_device(settings: Sequence[str]) -> torch.device:
    """Return the device that agents.device names; "auto": the first GPU.

    Raises:
        BenchmarkError: There is no GPU, and no other device was asked for.
    """
    wanted = load_config(None, settings).agents.device
    if wanted == "auto" and not torch.cuda.is_available():
        raise BenchmarkError(
            f"there is no GPU here: torch {torch.__version__} finds none; run it where there is one, or with "
            "--set agents.device=cpu --size 0.02 to try the benchmark itself"
        )
    return torch.device("cuda:0" if wanted == "auto" else wanted)


def device_name(device: torch.device) -> str:
    """Return the name of a device as torch gives it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def peak_flops(name: str) -> float:
    """Return the peak throughput of a device by its name, FLOP/s; NaN where it is unknown.

    Every word counts: an L40 is no L4, and a part of a GPU (MIG) or one of a laptop has a lower peak.
    """
    words = re.split(r"[\s-]+", name.upper())
    return PEAKS.get(" ".join(word for word in words if not NOT_A_MODEL.fullmatch(word)), math.nan)


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class MemoryOfDevice:
    """Peak memory in use on a GPU, of all programs; 0 on another device.

    Attributes:
        peak: Bytes.
    """

    def __init__(self, device: torch.device) -> None:
        """Begin with what is in use now."""
        self._device, self.peak = device, 0
        self()

    def __call__(self, _pid: int = 0) -> None:
        """Look at what is in use."""
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self._device)
            self.peak = max(self.peak, total - free)

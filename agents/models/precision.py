"""Mixed precision where the hardware supports it natively."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def mixed_precision(device: torch.device, precision: str) -> Iterator[torch.dtype]:
    """Enter bf16 autocast, or nothing, and yield the dtype that inputs should have.

    Args:
        device: Device of the model.
        precision: One of agents.models.settings.PRECISIONS; "auto" is bf16 where the hardware has it.
    """
    if not uses_bf16(device, precision):
        yield torch.float32
        return
    with torch.autocast(device.type, torch.bfloat16):
        yield torch.bfloat16


def uses_bf16(device: torch.device, precision: str) -> bool:
    """Return whether this precision means bf16 on this device."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bf16 natively; emulated, bf16 is slower than fp32."""
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(native())

"""The repr of dataclasses that hold tensors: their shapes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from torch import Tensor

MAX_REPR: Final = 200  # characters


def shapes_repr(value: Any) -> str:
    """Return a dataclass as a call with the shape of each tensor and the length of each container.

    At most 200 characters; a class sets ``__repr__ = shapes_repr``.
    """
    parts = [f"{field.name}={_short(getattr(value, field.name))}" for field in dataclasses.fields(value)]
    text = f"{type(value).__name__}({', '.join(parts)})"
    return text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 2]}…)"


def _short(value: Any) -> str:
    match value:
        case Tensor() | np.ndarray():
            return str(list(value.shape))
        case str():
            return repr(value)
        case Mapping() | Sequence():
            return f"{len(value)} items"
        case float():
            return f"{value:.4g}"
        case _:
            return repr(value)

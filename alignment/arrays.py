"""Arrays of callers: PyTorch tensors or NumPy arrays, checked in one place.

A function of this package that returns an array returns the type that it was given: NumPy in, NumPy out.
Mathematics is done in float64 on the device of the tensors.
"""

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

AnyArray = Tensor | np.ndarray
Array = TypeVar("Array", Tensor, np.ndarray)  # the same type in and out


class AlignmentError(ValueError):
    """An argument that this package cannot compute with.

    Attributes:
        problem: What is wrong.
        remedy: What to pass instead.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        """Keep the fields."""
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.problem}; {self.remedy}"


def to_tensor(value: Any, name: str) -> Tensor:
    """Return an array as a floating-point tensor, which shares its memory where that is possible.

    Args:
        value: A tensor, a NumPy array, or what `numpy.asarray` takes: nested lists, a table of pandas.
        name: What it is, for the message.

    Raises:
        AlignmentError: It holds no real numbers, or lies on a device without float64.
    """
    tensor = value if isinstance(value, Tensor) else _from_numpy(value, name)
    if tensor.is_complex():
        raise AlignmentError(f"{name} holds complex numbers", "pass real and imaginary parts as columns")
    if tensor.device.type == "mps":
        raise AlignmentError(f"{name} lies on mps, which has no float64", "move it with .cpu()")
    return tensor if tensor.is_floating_point() else tensor.double()


def like(result: Tensor, given: Array) -> Array:
    """Return a result as a tensor if the caller passed one, else as a NumPy array."""
    if isinstance(given, Tensor):
        return result
    return result.detach().cpu().numpy()


def check_finite(rows: Tensor, name: str, remedy: str) -> None:
    """Raise AlignmentError if a row [..., D] holds a value that is not finite; the message names the row."""
    if math.isfinite(rows.detach().sum()):  # a tenth of the cost, a hundred times for each edge
        return
    bad = ~torch.isfinite(rows)
    if bad.any():
        row = bad.nonzero()[0].tolist()[:-1]
        where = f"row {row[-1]} of {name}" if row else name
        raise AlignmentError(f"{where} holds a value that is not finite", remedy)


def check_devices(**arrays: Tensor) -> None:
    """Raise AlignmentError unless tensors, given by their names, lie on one device."""
    (first, tensor), *others = arrays.items()
    for name, other in others:
        if other.device != tensor.device:
            raise AlignmentError(
                f"the {first} is on {tensor.device} and the {name} on {other.device}",
                f"move one of them, for example with .to({str(tensor.device)!r})",
            )


def check_generator(generator: object) -> None:
    """Raise AlignmentError unless this is torch's random generator."""
    if not isinstance(generator, torch.Generator):
        raise AlignmentError(
            f"randomness comes from a torch.Generator, got {type(generator).__name__}",
            "pass torch.Generator().manual_seed(0), with any seed",
        )


def to_integers(values: Iterable[Any], name: str) -> tuple[int, ...]:
    """Return whole numbers of any integer type as Python's.

    Raises:
        AlignmentError: One is no whole number.
    """
    given = values.tolist() if isinstance(values, Tensor | np.ndarray) else list(values)
    if set(map(type, given)) <= {int}:  # nearly always: thousands of ticks, for each edge
        return tuple(given)
    for value in given:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise AlignmentError(f"{name} are whole numbers, got {value!r}", "pass integers")
    return tuple(int(value) for value in given)


def _from_numpy(value: Any, name: str) -> Tensor:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{array.dtype} is no type of real numbers")
        dtype = array.dtype if array.dtype in (np.float16, np.float32) else np.dtype(np.float64)
        # torch takes neither a foreign byte order, nor negative strides, nor memory that it may not write
        array = np.require(array, dtype=dtype.newbyteorder("="), requirements=("C", "W"))
        if min(array.strides, default=0) < 0:  # numpy calls a reversed axis of length one contiguous
            array = array.copy()
    except (TypeError, ValueError) as error:
        raise AlignmentError(
            f"{name} is no array of real numbers ({type(value).__name__})",
            "pass a torch.Tensor or a numpy.ndarray with one row per tick",
        ) from error
    return torch.from_numpy(array)

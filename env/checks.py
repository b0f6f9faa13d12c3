"""Settings refused at the door, each by a sentence that names it."""

import math

import numpy as np


def check_whole(name: str, value: int, least: int, most: int | None = None) -> None:
    """Raise ValueError unless a value is a whole number from ``least`` to ``most``; None leaves it open."""
    wanted = f"from {least} to {most}" if most is not None else f"of {least} or more"
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        raise ValueError(f"{name} must be a whole number {wanted}, got {value!r}")


def check_number(name: str, value: float, least: float, most: float) -> None:
    """Raise ValueError unless a value is a finite number from ``least`` to ``most``."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most:
        raise ValueError(f"{name} must be a number from {least:g} to {most:g}, got {value!r}")

"""Range checks for settings; each raises a ValueError that names the setting."""

import math
from collections.abc import Sequence

import numpy as np

INTEGERS = (int, np.integer)


def check_integer(name: str, value: int, minimum: int | None = None, maximum: int | None = None) -> None:
    """Raise ValueError unless a value is an integer from ``minimum`` to ``maximum``, where given."""
    valid = isinstance(value, INTEGERS) and not isinstance(value, bool)
    if not valid or not _is_within(value, minimum, maximum):
        raise ValueError(f"{name} must be an integer{_describe(minimum, maximum)}, got {value!r}")


def check_number(
    name: str, value: float, minimum: float | None = None, maximum: float | None = None, hint: str = ""
) -> None:
    """Raise ValueError unless a value is a finite number from ``minimum`` to ``maximum``, where given."""
    if not _is_finite(value) or not _is_within(value, minimum, maximum):
        raise ValueError(f"{name} must be a finite number{_describe(minimum, maximum)}, got {value!r}{hint}")


def check_positive(name: str, value: float, maximum: float | None = None) -> None:
    """Raise ValueError unless a value is a finite number above 0 and at most ``maximum``, where given."""
    if not _is_finite(value) or value <= 0 or not _is_within(value, None, maximum):
        limit = "" if maximum is None else f", at most {maximum:g}"
        raise ValueError(f"{name} must be a positive number{limit}, got {value!r}")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless a value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_class(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless a value is one of the choices, or names a class as package.module:Class."""
    if not isinstance(value, str) or ":" not in value:
        check_choice(name, value, (*choices, "package.module:Class"))


def _is_finite(value: object) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _is_within(value: float, minimum: float | None, maximum: float | None) -> bool:
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def _describe(minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f" from {minimum:g} to {maximum:g}"
    return f" of {minimum:g} or more" if minimum is not None else ""

"""The repr of settings: what differs from the defaults."""

import dataclasses
from typing import Any, Final

MAX_REPR: Final = 200  # characters


def settings_repr(settings: Any) -> str:
    """Return a dataclass of settings as a call with those that differ from their defaults.

    At most 200 characters; a class sets ``__repr__ = settings_repr``.
    """
    changed = []
    for field in dataclasses.fields(settings):
        value, default = getattr(settings, field.name), field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if value != default:
            changed.append(f"{field.name}={value!r}")
    text = f"{type(settings).__name__}({', '.join(changed)})"
    return text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 2]}…)"

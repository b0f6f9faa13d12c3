"""Ranges of settings: written as annotations beside each field, and checked in one place. Loads no torch."""

import math
from collections.abc import Iterator
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from msgspec import Meta

from agents.common.config_error import ConfigError

Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Weight = Annotated[float, Meta(ge=0)]  # of a term in a loss
Share = Annotated[float, Meta(ge=0, le=1)]


def one_of(*choices: str) -> Meta:
    """Return the annotation of a text that must be one of these choices."""
    return Meta(extra_json_schema={"enum": list(choices)})


def check_fields(config: Any) -> None:
    """Check a dataclass of settings against the ranges in its own annotations.

    Call it in ``__post_init__``: msgspec reads the same annotations, but constructing a dataclass directly
    checks nothing.

    Args:
        config: A dataclass whose fields may be annotated with `msgspec.Meta` (ge, gt, le, lt) or `one_of`.

    Raises:
        ConfigError: A value lies outside its range; the message reads "steps=0: at least 1".
    """
    kind: Any = type(config)
    for name, meta in _ranges(kind):
        value = getattr(config, name)
        if problem := _problem(value, meta):
            raise ConfigError(problem, name, value)


@lru_cache(maxsize=64)
def _ranges(kind: Any) -> tuple[tuple[str, Meta], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((entry.name, meta) for entry in fields(kind) for meta in _metas(hints[entry.name]))


def _metas(hint: Any) -> Iterator[Meta]:
    if get_origin(hint) is Annotated:
        yield from (extra for extra in get_args(hint)[1:] if isinstance(extra, Meta))


def _problem(value: Any, meta: Meta) -> str:
    """Return the problem of a value, or "". Comparisons are written so that NaN fails them."""
    if choices := (meta.extra_json_schema or {}).get("enum"):
        return "" if value in choices else f"choose one of {', '.join(choices)}"
    inside = (
        (meta.ge is None or value >= meta.ge)
        and (meta.gt is None or value > meta.gt)
        and (meta.le is None or value <= meta.le)
        and (meta.lt is None or value < meta.lt)
    )
    if inside:
        return "" if math.isfinite(value) else f"must be finite, {_range(meta)}"
    return _range(meta)


def _range(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f"choose from {meta.ge:g} to {meta.le:g}"
    bounds = (("at least", meta.ge), ("above", meta.gt), ("at most", meta.le), ("below", meta.lt))
    return " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)


def settings_repr(settings: Any) -> str:
    """Return settings as `env.common.settings_repr` writes them; reading settings imports nothing of env."""
    from env.common.settings_repr import settings_repr as write

    return write(settings)

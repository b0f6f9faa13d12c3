"""Settings as frozen dataclasses, read from nested values and dotted overrides; errors name the remedy."""

import copy
import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import msgspec


class ConfigError(ValueError):
    """A setting that cannot work; the text names it and the remedy."""


def build_config(kind: type, settings: dict[str, Any], overrides: Sequence[str] = ()) -> Any:
    """Return a dataclass of settings; what is not said stays as its defaults have it, in groups as well.

    Args:
        kind: The dataclass; its groups of settings are dataclasses too.
        settings: Nested values by name.
        overrides: "key.sub=value", laid over them; the value is read as TOML, or as text where it is none.

    Raises:
        ConfigError: An unknown key (the nearest one is named), a wrong type, or a value that cannot work.
    """
    settings = copy.deepcopy(settings)  # they may be somebody's defaults
    for text in overrides:
        key, equals, value = text.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise ConfigError(f"{text!r}: settings are written key.sub=value, for example training.steps=200")
        nested: Any = _value(value)
        for part in reversed(parts):
            nested = {part: nested}
        merge_into(settings, nested)
    try:
        return _build(kind, settings, "", kind)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def merge_into(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Write nested values over others, in place; what is not named above stays."""
    for key, value in above.items():
        if isinstance(value, Mapping):
            if not isinstance(below.get(key), dict):
                below[key] = {}
            merge_into(below[key], value)
        else:
            below[key] = value


def _build(kind: type, settings: Any, prefix: str, root: type, base: Any = None) -> Any:
    if not isinstance(settings, Mapping):
        raise ValueError(f"{prefix.rstrip('.')} is a group of settings: set {prefix}<name>=…")
    types = get_type_hints(kind)
    known = [entry.name for entry in fields(kind)]
    values = {}
    for key, value in settings.items():
        if key not in known:
            raise ValueError(_unknown(prefix + ".".join(_first_leaf(key, value)), root))
        wanted = types[key]
        if dataclasses.is_dataclass(wanted):
            default = _default(kind, key) if base is None else getattr(base, key)
            values[key] = _build(wanted, value, f"{prefix}{key}.", root, default)  # type: ignore[arg-type]
        else:
            values[key] = _convert(value, wanted, prefix + key)
    try:
        return kind(**values) if base is None else dataclasses.replace(base, **values)
    except ValueError as error:
        text, group = str(error), prefix.rstrip(".")
        above, _, leaf = group.rpartition(".")
        if above and text.startswith(f"{leaf}."):  # a nested group knows its own name, not where it stands
            text = f"{above}.{text}"
        told = not group or text.startswith((group, "the pose"))
        raise ValueError(text if told else f"{group}: {text}") from error


def _convert(value: Any, wanted: Any, key: str) -> Any:
    if str(wanted).startswith("tuple") and not isinstance(value, list | tuple):
        value = [value]
    if wanted is str and isinstance(value, int | float | bool):
        value = str(value)
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise ValueError(f"{key}={value!r}: {str(error).lower()}") from error


def keys(kind: type, prefix: str = "") -> list[str]:
    """Return every setting there is, as dotted keys."""
    found = []
    for name, wanted in get_type_hints(kind).items():
        nested = dataclasses.is_dataclass(wanted)
        found += keys(wanted, f"{prefix}{name}.") if nested else [prefix + name]
    return found


def _default(kind: type, name: str) -> Any:
    """Return what a group of settings is where nothing is said; None where it must be said."""
    entry = next(entry for entry in fields(kind) if entry.name == name)
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory()
    return None if entry.default is dataclasses.MISSING else entry.default


def _first_leaf(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [key, *_first_leaf(*next(iter(value.items())))]
    return [key]


def _unknown(key: str, root: type) -> str:
    every = keys(root)
    group, _, leaf = key.rpartition(".")
    beside = [name for name in every if name.rpartition(".")[0] == group]
    for names in (beside, every):  # a slip in the name, or in the group, or the group was forgotten
        leaves = [name.rpartition(".")[2] for name in names]
        near = difflib.get_close_matches(leaf, leaves, n=1)
        if near:
            found = [name for name in names if name.rpartition(".")[2] == near[0]]
            return f"there is no setting {key}: did you mean {' or '.join(found)}?"
    groups = dict.fromkeys(f"{name.partition('.')[0]}.…" for name in every if "." in name)
    there = beside if group and beside else [*(name for name in every if "." not in name), *groups]
    return f"there is no setting {key}: there are {', '.join(there)}"

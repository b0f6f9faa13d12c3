"""Build settings (frozen dataclasses) from nested values and dotted overrides."""

import copy
import dataclasses
import datetime
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_origin, get_type_hints

import msgspec

from agents.common.config_error import ConfigError

SYNTAX = "settings are written key.sub=value, for example training.steps=200"


def build_config(kind: type, settings: dict[str, Any], overrides: Sequence[str] = ()) -> Any:
    """Return an instance of a dataclass of settings; a setting that is not given keeps its default.

    Args:
        kind: The dataclass; its groups of settings are dataclasses too.
        settings: Nested values by name.
        overrides: "key.sub=value", applied over `settings`; the value is parsed as TOML, or taken as text
            where it is not TOML.

    Raises:
        ConfigError: An unknown key (the nearest one is suggested), a wrong type, or a value out of range.
    """
    settings = copy.deepcopy(settings)  # the caller may pass shared defaults
    for text in overrides:
        key, equals, value = text.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise ConfigError(SYNTAX, repr(text))
        nested: Any = _parse_value(value)
        if isinstance(nested, _SCALARS):
            nested = _Given(nested, value.strip())
        for part in reversed(parts):
            nested = {part: nested}
        merge_into(settings, nested)
    return _build(kind, settings, "", kind)


@dataclasses.dataclass(frozen=True)
class _Given:
    """A number, truth value or date of an override, and its text: a setting of type text takes that."""

    value: Any
    text: str


def _taken(value: Any, as_text: bool) -> Any:
    """Return a value as it is parsed, or its text where text is wanted; in mappings as it is parsed."""
    if isinstance(value, Mapping):
        return {key: _taken(each, False) for key, each in value.items()}
    if isinstance(value, _Given):
        return value.text if as_text else value.value
    return value


_SCALARS = (bool, int, float, datetime.date, datetime.time)


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def merge_into(base: dict[str, Any], update: Mapping[str, Any]) -> None:
    """Write nested values into others, in place; keys that `update` does not name stay."""
    for key, value in update.items():
        if isinstance(value, Mapping):
            if not isinstance(base.get(key), dict):
                base[key] = {}
            merge_into(base[key], value)
        else:
            base[key] = value


def _build(kind: type, settings: Any, group: str, root: type, default: Any = None) -> Any:
    """Return an instance of one group; `default` is the instance that settings not given are taken from."""
    prefix = f"{group}." if group else ""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"a group of settings: set {prefix}<name>=…", group)
    types = get_type_hints(kind)
    known = [entry.name for entry in fields(kind)]
    values = {}
    for key, value in settings.items():
        if key not in known:
            raise _unknown_setting(prefix + ".".join(_first_leaf(key, value)), root)
        field_type = types[key]
        if dataclasses.is_dataclass(field_type):
            below = _default(kind, key) if default is None else getattr(default, key)
            values[key] = _build(field_type, value, prefix + key, root, below)  # type: ignore[arg-type]
        else:
            values[key] = _convert(value, field_type, prefix + key)
    try:
        return kind(**values) if default is None else dataclasses.replace(default, **values)
    except ConfigError as error:
        raise (error.within(group) if group else error) from error
    except ValueError as error:  # of a group that does not say which of its settings it is about
        raise ConfigError(str(error), group) from error


def _convert(value: Any, field_type: Any, setting: str) -> Any:
    value = _taken(value, field_type is str)
    if get_origin(field_type) is tuple and not isinstance(value, list | tuple):
        value = [value]
    if field_type is str and isinstance(value, int | float | bool):
        value = str(value)
    try:
        return msgspec.convert(value, field_type)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error).lower(), setting, value) from error


def keys(kind: type, prefix: str = "") -> list[str]:
    """Return the dotted names of all settings below a dataclass."""
    found = []
    for name, field_type in get_type_hints(kind).items():
        nested = dataclasses.is_dataclass(field_type)
        found += keys(field_type, f"{prefix}{name}.") if nested else [prefix + name]
    return found


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping)
        found |= flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return found


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two nested sets of settings differ, by dotted name; None: it has none."""
    one, other = flatten(first), flatten(second)
    names = [*one, *(name for name in other if name not in one)]
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def _default(kind: type, name: str) -> Any:
    """Return the default of a group of settings, or None where it must be given."""
    entry = next(entry for entry in fields(kind) if entry.name == name)
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory()
    return None if entry.default is dataclasses.MISSING else entry.default


def _first_leaf(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [key, *_first_leaf(*next(iter(value.items())))]
    return [key]


def _unknown_setting(key: str, root: type) -> ConfigError:
    """Return the error of a setting that does not exist, with the nearest names as suggestion."""
    every = keys(root)
    group, _, leaf = key.rpartition(".")
    siblings = [name for name in every if name.rpartition(".")[0] == group]
    for names in (siblings, every):  # a typo in the name, in the group, or the group was left out
        leaves = [name.rpartition(".")[2] for name in names]
        near = difflib.get_close_matches(leaf, leaves, n=1)
        if near:
            matches = [name for name in names if name.rpartition(".")[2] == near[0]]
            return ConfigError("no such setting", key, suggestion=f"did you mean {' or '.join(matches)}?")
    groups = dict.fromkeys(f"{name.partition('.')[0]}.…" for name in every if "." in name)
    choices = siblings if group and siblings else [*(name for name in every if "." not in name), *groups]
    return ConfigError("no such setting", key, suggestion=f"choose one of {', '.join(choices)}")

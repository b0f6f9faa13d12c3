"""Errors on the control socket: the name of the class and its fields, never an object."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct

from agents.common.config_error import ConfigError
from social_jepa.runtime import errors as runtime_errors
from social_jepa.runtime import member_errors, resource_errors
from social_jepa.runtime.errors import SupervisorFailedError
from social_jepa.storage import ledger_errors
from social_jepa.storage import run_folder as folder_errors

CONFIG_FIELDS = ("reason", "setting", "value", "suggestion")


class RemoteError(Struct, frozen=True, forbid_unknown_fields=True):
    """An error of the other process.

    Attributes:
        name: Name of its class, or of the nearest built-in class.
        fields: Its fields by name; none where the class has no typed fields.
        text: Its sentence.
    """

    name: str
    fields: dict[str, Any]
    text: str


def _known() -> Iterator[type[Exception]]:
    for module in (runtime_errors, member_errors, resource_errors, ledger_errors, folder_errors):
        for found in vars(module).values():
            if is_dataclass(found) and isinstance(found, type) and issubclass(found, Exception):
                yield found


KNOWN = {found.__name__: found for found in _known()}
BUILT_IN = {"ValueError": ValueError, "LookupError": LookupError}


def to_remote(error: Exception) -> RemoteError:
    """Return an error as plain values."""
    if isinstance(error, ConfigError):
        values = {name: getattr(error, name) for name in CONFIG_FIELDS}
        if values["value"] is ...:
            del values["value"]
        return RemoteError("ConfigError", _plain(values), str(error))
    name = type(error).__name__
    if name in KNOWN:
        values = {field.name: getattr(error, field.name) for field in fields(error)}  # type: ignore[arg-type]
        return RemoteError(name, _plain(values), str(error))
    base = next((each for each in BUILT_IN if isinstance(error, BUILT_IN[each])), "Exception")
    return RemoteError(base, {}, str(error) or name)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(values, enc_hook=str)
    return found


def from_remote(remote: RemoteError) -> Exception:
    """Return the error that `to_remote` described; of an unknown class, a SupervisorFailedError."""
    if remote.name == "ConfigError":
        return ConfigError(**remote.fields)
    if remote.name in BUILT_IN:
        return BUILT_IN[remote.name](remote.text)
    kind = KNOWN.get(remote.name)
    if kind is None:
        return SupervisorFailedError(remote.text)
    hints = get_type_hints(kind)
    values = [
        msgspec.convert(remote.fields[field.name], hints[field.name], dec_hook=_from_text)
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name in remote.fields
    ]
    return kind(*values)


def _from_text(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return Path(value)
    raise NotImplementedError(kind)

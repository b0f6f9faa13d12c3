"""The base of all records, ranges of their fields, and JSON."""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from agents.common.names import NAME_PATTERN
from social_jepa.records.display import fields_html, short_repr

FORMAT: Literal[3] = 3  # of graph.json; goes up whenever a key is renamed or removed
MAX_DIM = 4096
MAX_PAIRS = 65536
ROUNDING = 1e-6  # by which a computed correlation or kernel alignment may exceed 1

Method = Literal["procrustes", "robust", "ridge"]

Name = Annotated[str, Meta(pattern=f"^{NAME_PATTERN}$")]
HASH_PATTERN = r"^[0-9a-f]{16}$"
Hash = Annotated[str, Meta(pattern=HASH_PATTERN)]
Count = Annotated[int, Meta(ge=0)]
Dim = Annotated[int, Meta(ge=0, le=MAX_DIM)]
PairCount = Annotated[int, Meta(ge=0, le=MAX_PAIRS)]
NonNegative = Annotated[float, Meta(ge=0)]
R2 = Annotated[float, Meta(le=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Similarity = Annotated[float, Meta(ge=0, le=1 + ROUNDING)]
ConditionNumber = Annotated[float, Meta(ge=1)]
Correlation = Annotated[float, Meta(ge=-1 - ROUNDING, le=1 + ROUNDING)]
MethodField = Annotated[
    Method,
    Meta(
        description="How a map was fitted: procrustes (orthogonal, between the cores), robust (the same "
        "without the worst pairs), ridge (linear, between all dimensions)."
    ),
]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records: immutable, built by keyword, without unknown fields."""

    def __repr__(self) -> str:
        """Return class and leading fields on one line of at most 200 characters."""
        return short_repr(type(self).__name__, {key: getattr(self, key) for key in self.__struct_fields__})

    def _repr_html_(self) -> str:
        """Return a table of the fields; the description of each is the tooltip of its name."""
        types = msgspec.inspect.type_info(type(self))
        assert isinstance(types, msgspec.inspect.StructType)
        descriptions = {
            field.name: (field.type.extra_json_schema or {}).get("description", "")
            for field in types.fields
            if isinstance(field.type, msgspec.inspect.Metadata)
        }
        values = {key: getattr(self, key) for key in self.__struct_fields__}
        return fields_html(type(self).__name__, values, descriptions)


R = TypeVar("R", bound=Struct)
T = TypeVar("T")


def encode(value: Any) -> bytes:
    """Return records, or containers of records, as JSON; NaN and infinity become null."""
    return msgspec.json.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Return the value that `encode` turned into bytes.

    Raises:
        ValueError: It is not JSON, or a field is missing, unknown or out of range.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def as_dict(record: Struct) -> dict[str, Any]:
    """Return a record as a dict of plain values under the names that its JSON has."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found


def replace(record: R, **changes: Any) -> R:
    """Return a copy of a record with some fields changed."""
    return msgspec.structs.replace(record, **changes)

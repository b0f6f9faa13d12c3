"""Frames in a Lance table of stable-worldmodel: one row a tick, and pictures as JPEG files in a column."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from env.sources.columns import ColumnSource
from env.sources.contract import SourceError
from env.sources.files import find
from env.sources.images import to_rgb
from env.sources.settings import FramesConfig


class LanceTable(ColumnSource):
    """Columns of a Lance table: binary ones hold pictures, of any format that Pillow reads.

    ``episode_idx`` and ``step_idx`` need not be there; episodes follow each other. A segment of ticks that
    spans the end of an episode holds a jump.
    """

    def __init__(self, config: FramesConfig, frame_size: int) -> None:
        """Open the table for reading.

        Raises:
            SourceError: There is no such table or column, or it holds no frames.
        """
        path = _table_of(find("lance", config, folder=True))
        try:
            table = lance.dataset(str(path))
        except (ValueError, OSError) as error:
            raise SourceError("lance", f"{path} is no Lance table that can be read") from error
        for key in filter(None, (config.key, config.state_key)):
            if key not in table.schema.names:
                raise SourceError(
                    "lance", f"{path} has no column {key!r}: it has {', '.join(table.schema.names)}"
                )
        states = _Rows(table, config.state_key) if config.state_key else None
        super().__init__("lance", config, frame_size, _Rows(table, config.key), states)


def _table_of(folder: Path) -> Path:
    """Return a table's folder: this one, or the only table in it, as a database of one table has it."""
    tables = [] if (folder / "_versions").is_dir() else sorted(folder.glob("*.lance"))
    return tables[0] if len(tables) == 1 else folder


class _Rows:
    """A column whose rows are read by slice or by increasing index array, as NumPy reads them."""

    def __init__(self, table: Any, key: str) -> None:
        self._table, self._key = table, key
        kind = table.schema.field(key).type
        binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        self._decode: Callable[[Any], np.ndarray] = _pictures if binary else _numbers
        count = table.count_rows()
        first = self[np.arange(min(1, count))]
        self.shape, self.dtype = (count, *first.shape[1:]), first.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> np.ndarray:
        wanted = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        column = self._table.take(wanted.tolist(), columns=[self._key]).column(self._key)
        return self._decode(column.combine_chunks())


def _pictures(column: Any) -> np.ndarray:
    """Return encoded pictures as uint8 [N, H, W, 3].

    Raises:
        SourceError: They cannot be decoded, or are of different sizes.
    """
    try:
        found = [to_rgb(Image.open(io.BytesIO(each.as_py())), "a picture", "lance") for each in column]
    except (UnidentifiedImageError, OSError, TypeError) as error:  # TypeError: a row without a picture
        raise SourceError("lance", f"a picture cannot be decoded ({error})") from error
    if len({picture.shape for picture in found}) > 1:
        raise SourceError("lance", "its pictures are of different sizes")
    return np.stack(found) if found else np.empty((0, 0, 0, 3), np.uint8)


def _numbers(column: Any) -> np.ndarray:
    """Return numbers, or lists of equally many, as [N] or [N, F]."""
    if pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), -1)
    return np.asarray(column.to_numpy(zero_copy_only=False))

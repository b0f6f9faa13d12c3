"""Frames in a zarr store: the same columns as in an HDF5 file."""

from typing import Any

import numpy as np
import zarr

from env.sources.columns import ColumnSource
from env.sources.contract import SourceError
from env.sources.files import find
from env.sources.settings import FramesConfig


class ZarrStore(ColumnSource):
    """Arrays of a zarr group, with one row a tick."""

    def __init__(self, config: FramesConfig, frame_size: int) -> None:
        """Open the group for reading.

        Raises:
            SourceError: There is no such group or array, or it holds no frames.
        """
        path = find("zarr", config, folder=None)
        try:
            group = zarr.open_group(str(path), mode="r")
        except Exception as error:  # zarr and its stores raise many classes
            raise SourceError("zarr", f"{path} is no zarr group that can be read ({error})") from error
        for key in filter(None, (config.key, config.state_key)):
            if not isinstance(group.get(key), zarr.Array):
                raise SourceError(
                    "zarr", f"{path} has no array {key!r}: it has {', '.join(group.array_keys())}"
                )
        states = _Rows(group[config.state_key]) if config.state_key else None
        super().__init__("zarr", config, frame_size, _Rows(group[config.key]), states)


class _Rows:
    """An array whose rows are read by slice or by index array, as NumPy reads them."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> np.ndarray:
        found = self._array.oindex[rows] if isinstance(rows, np.ndarray) else self._array[rows]
        return np.asarray(found)

"""Frames in an HDF5 file: one data set a column and one row a tick, as stable-worldmodel writes them."""

import h5py

from env.sources.columns import ColumnSource
from env.sources.contract import SourceError
from env.sources.files import find
from env.sources.settings import FramesConfig


class Hdf5File(ColumnSource):
    """Columns of an HDF5 file; episodes follow each other without a gap, as ``ep_offset`` says.

    ``ep_len`` and ``ep_offset`` need not be there. A segment of ticks that spans the end of an episode holds
    a jump.
    """

    def __init__(self, config: FramesConfig, frame_size: int) -> None:
        """Open the file for reading.

        Raises:
            SourceError: There is no such file or column, or it holds no frames.
        """
        path = find("hdf5", config)
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise SourceError("hdf5", f"{path} is no HDF5 file that can be read ({error})") from error
        for key in filter(None, (config.key, config.state_key)):
            if not isinstance(file.get(key), h5py.Dataset):
                raise SourceError("hdf5", f"{path} has no column {key!r}: it has {', '.join(file)}")
        states = file[config.state_key] if config.state_key else None
        super().__init__("hdf5", config, frame_size, file[config.key], states)

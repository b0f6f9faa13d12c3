"""Frames in a NumPy file: one array in .npy, or named arrays in .npz."""

import numpy as np

from env.sources.columns import ColumnSource
from env.sources.contract import SourceError
from env.sources.files import find
from env.sources.settings import FramesConfig


class ArrayFile(ColumnSource):
    """A file of `numpy.save`, which stays on disk, or of `numpy.savez`, which is read into memory."""

    def __init__(self, config: FramesConfig, frame_size: int) -> None:
        """Open the file.

        Raises:
            SourceError: There is no such file or array, or it holds no frames.
        """
        path = find("array", config)
        try:
            opened = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise SourceError("array", f"{path} is no file of numpy.save or numpy.savez ({error})") from error
        if isinstance(opened, np.ndarray):
            if config.state_key:
                raise SourceError(
                    "array", f"{path} holds one array: scene.frames.state_key needs an .npz file"
                )
            super().__init__("array", config, frame_size, opened)
            return
        with opened:
            for key in filter(None, (config.key, config.state_key)):
                if key not in opened:
                    raise SourceError("array", f"{path} has no array {key!r}: it has {', '.join(opened)}")
            states = opened[config.state_key] if config.state_key else None
            super().__init__("array", config, frame_size, opened[config.key], states)

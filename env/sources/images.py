"""A folder of images: one picture a tick, in the order of their names."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from env.sources.contract import SAMPLED_TICKS, PictureSource, SourceError, digest
from env.sources.files import find
from env.sources.settings import FramesConfig

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


class Images(PictureSource):
    """The images of a folder; numbers in their names count as numbers: frame-2 stands before frame-10."""

    def __init__(self, config: FramesConfig, frame_size: int) -> None:
        """List the images.

        Raises:
            SourceError: There is no such folder, or no image in it.
        """
        super().__init__(config, frame_size)
        folder = find("images", config, folder=True)
        files = sorted(
            (path for path in folder.iterdir() if path.suffix.lower() in ENDINGS),
            key=lambda path: _order(path.name),
        )
        self._files: list[Path] = files[: config.ticks or None]
        if not self._files:
            raise SourceError("images", f"{folder} holds no image ({', '.join(sorted(ENDINGS))})")

    @property
    def ticks(self) -> int:
        """Number of images."""
        return len(self._files)

    @cached_property
    def identity(self) -> str:
        """Hash of the sizes of all files, and of the bytes of some."""
        some = np.unique(np.linspace(0, self.ticks - 1, SAMPLED_TICKS).astype(np.int64))
        sizes = [path.stat().st_size for path in self._files]
        return digest("images", sizes, *(self._files[tick].read_bytes() for tick in some.tolist()))

    def pictures(self, ticks: np.ndarray) -> Iterator[np.ndarray]:
        """Return the image of each tick, uint8 [H, W, 3]; gray ones have equal channels."""
        from PIL import Image

        for tick in ticks.tolist():
            try:
                with Image.open(self._files[tick]) as image:
                    yield to_rgb(image, str(self._files[tick]), "images")
            except OSError as error:  # PIL's own errors derive from it
                raise SourceError("images", f"{self._files[tick]} cannot be read: {error}") from error


def to_rgb(image: "Image.Image", name: str, source: str) -> np.ndarray:
    """Return an image as uint8 [H, W, 3].

    Raises:
        SourceError: Its pixels have more than 8 bits, which Pillow would cut at 255.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise SourceError(
            source,
            f"{name} has pixels of more than 8 bits (mode {image.mode}): scale them to 0 to 255 and save "
            "them as 8-bit images",
        )
    return np.array(image.convert("RGB"))


def _order(name: str) -> list[tuple[bool, int, str]]:
    """Return the sort key of a name in which numbers count as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]

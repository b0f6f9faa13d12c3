"""Views of a picture: a part of it, or one of its channels."""

from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of width and height

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
PARTS: dict[str, Box] = {
    "whole": WHOLE,
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
}
CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class View:
    """What one view shows of a picture.

    Attributes:
        box: The part, as shares of the picture.
        channel: Index of the channel that it shows in gray; None: all in color.
    """

    box: Box = WHOLE
    channel: int | None = None

    @classmethod
    def parse(cls, text: str) -> "View":
        """Return the view that is written as a name or as "x1,y1,x2,y2".

        Raises:
            ValueError: It is neither, or the numbers are no part of a picture.
        """
        if text in PARTS:
            return cls(PARTS[text])
        if text in CHANNELS:
            return cls(channel=CHANNELS.index(text))
        try:
            x1, y1, x2, y2 = (float(part) for part in str(text).split(","))
        except ValueError:
            raise ValueError(
                f"frames.views has {text!r}: choose {', '.join((*PARTS, *CHANNELS))}, or x1,y1,x2,y2"
            ) from None
        if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
            raise ValueError(f"frames.views has {text!r}: let 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1")
        return cls((x1, y1, x2, y2))

    def cut(self, picture: np.ndarray, size: int) -> np.ndarray:
        """Return the view of a picture, uint8 [H, W, 3] -> uint8 [size, size, 3].

        Each pixel is the mean of the pixels that it covers; the aspect ratio is not kept.
        """
        from PIL import Image

        height, width = picture.shape[:2]
        x1, y1, x2, y2 = self.box
        box = (x1 * width, y1 * height, x2 * width, y2 * height)
        if self.channel is not None:
            picture = picture[..., self.channel]
        image = Image.fromarray(np.ascontiguousarray(picture))
        same = box == (0, 0, width, height) and (height, width) == (size, size)
        frame = np.array(image if same else image.resize((size, size), Image.Resampling.BOX, box))
        return frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=-1)

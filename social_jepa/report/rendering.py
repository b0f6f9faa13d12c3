"""Camera views as sheets with captions, PNG files and data URIs."""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from agents.common.files import write_atomically
from social_jepa.graph.observer import Observer

MARGIN = 6  # pixels between pictures
CAPTION = 16  # pixels of text above a picture


def sheet(rows: Sequence[Sequence[tuple[str, np.ndarray]]], scale: int = 3) -> Image.Image:
    """Return captioned pictures in rows.

    Args:
        rows: (caption, uint8 [H, W, 3]) of each picture.
        scale: Integer factor by which pictures are enlarged, without smoothing.
    """
    side = rows[0][0][1].shape[0] * scale
    width = max(len(row) for row in rows) * (side + MARGIN) + MARGIN
    page = Image.new("RGB", (width, len(rows) * (side + CAPTION + MARGIN) + MARGIN), "white")
    draw = ImageDraw.Draw(page)
    for line, row in enumerate(rows):
        top = MARGIN + line * (side + CAPTION + MARGIN)
        for column, (caption, pixels) in enumerate(row):
            left = MARGIN + column * (side + MARGIN)
            draw.text((left, top), caption, fill="black")
            page.paste(
                Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (left, top + CAPTION)
            )
    return page


def write_png(path: Path, image: Image.Image) -> Path:
    """Write a picture atomically and return its path."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
    return path


def data_uri(pixels: np.ndarray) -> str:
    """Return a picture, uint8 [H, W, 3], as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def same_ticks(observer: Observer, names: Iterable[str], ticks: Sequence[int]) -> dict[str, list[np.ndarray]]:
    """Return views of agents at ticks, uint8 [H, W, 3] each, keyed by agent."""
    return {name: [observer.render(name, tick) for tick in ticks] for name in names}

"""Figures as PNG files; equal figures give equal bytes."""

import io
import re
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
MAX_FULL_COLOR_BYTES = 150_000  # a larger PNG is reduced to 256 colors


def check_plot_name(name: str) -> str:
    """Return the name of a plot, or raise ValueError unless it can be the name of a file."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,80}", name):
        raise ValueError(f"a plot's name is lowercase letters, digits, - and _, got {name!r}")
    return name


def draw_png(figure: "Figure") -> bytes:
    """Return a figure as PNG, without date or version."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=DPI, facecolor="white", bbox_inches="tight", metadata={"Software": None}
    )
    compressed = io.BytesIO()
    with Image.open(buffer) as image:
        rgb = image.convert("RGB")
        rgb.save(compressed, "PNG", optimize=True)
        if compressed.tell() > MAX_FULL_COLOR_BYTES:
            compressed = io.BytesIO()
            rgb.quantize(256).save(compressed, "PNG", optimize=True)
    return compressed.getvalue()

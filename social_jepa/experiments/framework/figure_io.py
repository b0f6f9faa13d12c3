"""Pictures as bytes: PNG for pages, SVG for papers; equal figures give equal bytes."""

import io
import re
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
MOST_BYTES = 150_000  # of a PNG; above it the picture gets by with 256 colours
MOST_POINTS = 500  # of all clouds of an SVG; more of them are stored as pixels


def check_name(name: str) -> str:
    """Return a picture's name, or raise ValueError if it cannot be the name of a file."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,80}", name):
        raise ValueError(f"a picture is named in small letters, digits, - and _, not {name!r}")
    return name


def draw_png(picture: "Figure") -> bytes:
    """Return a picture as PNG, without date or version in it."""
    buffer = io.BytesIO()
    picture.savefig(
        buffer, format="png", dpi=DPI, facecolor="white", bbox_inches="tight", metadata={"Software": None}
    )
    smaller = io.BytesIO()
    with Image.open(buffer) as image:
        flat = image.convert("RGB")
        flat.save(smaller, "PNG", optimize=True)
        if smaller.tell() > MOST_BYTES:
            smaller = io.BytesIO()
            flat.quantize(256).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()


def draw_svg(picture: "Figure") -> bytes:
    """Return a picture as SVG; its names inside follow from the picture alone."""
    clouds: list[tuple[Artist, int]] = [
        (cloud, np.shape(cloud.get_offsets())[0]) for cloud in picture.findobj(PathCollection)
    ]
    clouds += [
        (line, np.size(line.get_xdata()))
        for line in picture.findobj(Line2D)
        if line.get_linestyle() == "None"
    ]
    if sum(points for _, points in clouds) > MOST_POINTS:
        for cloud, points in clouds:
            cloud.set_rasterized(points > 1)  # those of a legend stay as they are
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "social-jepa", "svg.fonttype": "path"}):
        picture.savefig(
            buffer, format="svg", dpi=DPI, facecolor="white", bbox_inches="tight", metadata={"Date": None}
        )
    return buffer.getvalue()

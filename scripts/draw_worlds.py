"""Draw one picture of each world of docs/how_to/scene.md: python scripts/draw_worlds.py [NAME]...

Left what the first camera of the ring sees, right the room from above with the paths of the last ticks.
"""

import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from env.appearance import OBJECT_COLORS
from env.camera import RingConfig, ring_pose
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "worlds"
TICK, TRAIL, FRAME = 2000, 40, 192  # tick of the frame, ticks of the paths before it, pixels of the frame
COLORS = 128  # of a picture's palette
WORLDS = {
    "default": SceneConfig(frame_size=FRAME),
    "mixed": SceneConfig(autocorrelation=(0.99, 0.99, 0.9, 0.9, 0.5, 0.5), frame_size=FRAME),
    "coupled": SceneConfig(dynamics="coupled", frame_size=FRAME),
    "collide": SceneConfig(dynamics="collide", frame_size=FRAME),
    "bounce": SceneConfig(dynamics="bounce", frame_size=FRAME),
    "static": SceneConfig(dynamics="static", frame_size=FRAME),
    "twelve": SceneConfig(dynamics="collide", objects=12, frame_size=FRAME),
}


def draw(config: SceneConfig) -> Image.Image:
    """Return the picture of a world."""
    scene = Scene(config, 0)
    renderer = build_renderer(config)
    frame = renderer.render(scene.state(TICK), ring_pose(0, RingConfig()))
    renderer.close()
    factors = scene.factors(np.arange(TICK - TRAIL, TICK + 1))
    paths = config.object_range * scene.unit_positions(factors).reshape(TRAIL + 1, -1, 2)
    figure = Figure(figsize=(4.0, 2.0), dpi=96)
    seen, above = (figure.add_axes((left, 0.0, 0.49, 1.0)) for left in (0.0, 0.51))
    seen.imshow(frame, interpolation="nearest")
    half, edge = config.room_size / 2, config.object_size
    above.set(xlim=(-half, half), ylim=(half, -half), aspect="equal", facecolor="0.92")
    for color, path in zip(OBJECT_COLORS, paths.swapaxes(0, 1), strict=False):
        fading = np.linspace(0.05, 1.0, TRAIL)
        above.add_collection(LineCollection(
            np.stack([path[:-1], path[1:]], 1), colors=[(*color, alpha) for alpha in fading], linewidths=1.2,
        ))  # fmt: skip
        x, z = path[-1] - edge / 2
        above.add_patch(Rectangle((x, z), edge, edge, facecolor=color, edgecolor="black", linewidth=0.6))
    for axes in (seen, above):
        axes.set(xticks=[], yticks=[])
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return Image.open(data).convert("RGB").quantize(COLORS)


def main(names: list[str]) -> None:
    """Write the pictures of these worlds, of all by default."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or WORLDS:
        draw(WORLDS[name]).save(FOLDER / f"{name}.png", optimize=True)
        print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])

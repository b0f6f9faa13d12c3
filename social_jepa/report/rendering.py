"""What cameras see, drawn by the observer: the scene is replayed, so no pixel has to leave an agent."""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from agents.files import write_atomically
from agents.streams import Stream, stream_seed
from env.camera import Pose
from env.recording import SensorData
from env.renderers.base import share_renderer
from env.scene import Scene
from env.sensors import SensorRecorder, SensorSpec
from social_jepa.graph.results import Results
from social_jepa.runtime.membership import body_events

MARGIN = 6  # pixels between pictures
CAPTION = 16  # pixels of text above a picture


class Observer:
    """Sees through every camera of a run; use it in a ``with`` block, because it holds a renderer."""

    def __init__(self, results: Results) -> None:
        """Replay the run's scene."""
        config = results.config
        self._poses = {member.name: Pose.parse(member.pose) for member in results.members}
        self._words = {
            member.name: stream_seed(config.seed, member.index, Stream.VIEWS) for member in results.members
        }
        self._scene = Scene(config.scene, config.seed, body_events(results.bodies))
        self._renderer = share_renderer(config.scene)

    def __enter__(self) -> "Observer":
        """Start looking."""
        return self

    def __exit__(self, *error: object) -> None:
        """Free the renderer."""
        self._renderer.close()

    def render(self, name: str, tick: int) -> np.ndarray:
        """Return what an agent's camera sees at a tick, uint8 [H, W, 3]."""
        return self._renderer.render(self._scene.state(tick), self._poses[name], name)

    def record(self, name: str, ticks: Sequence[int], needs: SensorSpec) -> tuple[np.ndarray, SensorData]:
        """Return all that an agent knows of ticks: frames uint8 [K, ...], and senses."""
        recorder = SensorRecorder(
            self._scene, self._renderer, self._poses[name], name, needs, self._words[name]
        )
        return recorder.record(ticks).frames, recorder.sensor_data(np.array(ticks))


def sheet(rows: Sequence[Sequence[tuple[str, np.ndarray]]], scale: int = 3) -> Image.Image:
    """Return captioned pictures in rows.

    Args:
        rows: (caption, uint8 [H, W, 3]) of each picture.
        scale: Whole factor by which pictures are enlarged, without smoothing.
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
    """Write a picture whole or not at all."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
    return path


def data_uri(pixels: np.ndarray) -> str:
    """Return a picture, uint8 [H, W, 3], as text that a page can hold."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def same_ticks(observer: Observer, names: Iterable[str], ticks: Sequence[int]) -> dict[str, list[np.ndarray]]:
    """Return what every agent sees at the same ticks."""
    return {name: [observer.render(name, tick) for tick in ticks] for name in names}

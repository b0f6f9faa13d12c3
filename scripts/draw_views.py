"""Draw the pictures of what cameras see in docs/how_to/scene.md, from the commands in its table."""

import re
import shlex
from pathlib import Path

from PIL import Image

from env.recording import Recorder
from env.renderers.build import build_renderer
from env.scene import Scene
from social_jepa.config.run_config import RunConfig, load_config
from social_jepa.report.rendering import sheet, write_png

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how_to" / "scene.md"
CAMERAS, TICKS = 2, (0, 60)
RENDERERS = ("miniworld", "toy")  # batch draws what miniworld draws
COLORS = 256  # of a picture: with noise, all colors would make it three times as large


def worlds(page: str) -> dict[str, list[str]]:
    """Return the words after ``social-jepa run`` of each world, by its picture, relative to the page."""
    rows = re.findall(r"^\| !\[[^]]*\]\(([^)]+)\) \| `social-jepa run ([^`]+)`", page, re.MULTILINE)
    return {picture: shlex.split(words) for picture, words in rows}


def load_world(words: list[str], renderer: str) -> RunConfig:
    """Return the settings of a world, drawn by a renderer unless its command names one."""
    file = ROOT / words[words.index("--config") + 1] if "--config" in words else None
    settings = [word for word in words if "=" in word]
    return load_config(file, [f"scene.renderer={renderer}", *settings])


def draw(words: list[str]) -> list[list[tuple[str, object]]]:
    """Return one row for each camera: its frames at both ticks by every renderer of the world, captioned."""
    rows: list[list[tuple[str, object]]] = [[] for _ in range(CAMERAS)]
    named = any(word.startswith("scene.renderer=") for word in words)
    for renderer in RENDERERS[:1] if named else RENDERERS:
        config = load_world(words, renderer)
        built, scene = build_renderer(config.scene), Scene(config.scene, config.seed)
        for index, row in enumerate(rows):
            name = f"agent-{index}"
            frames = Recorder(scene, built, config.pose(index), name).record(TICKS).frames
            row += [(f"{name} t={tick}", frame) for tick, frame in zip(TICKS, frames, strict=True)]
        built.close()
    return rows


if __name__ == "__main__":
    for picture, words in worlds(PAGE.read_text(encoding="utf-8")).items():
        page = sheet(draw(words), scale=2).quantize(COLORS, Image.Quantize.MAXCOVERAGE)
        print(write_png((PAGE.parent / picture).resolve(), page))

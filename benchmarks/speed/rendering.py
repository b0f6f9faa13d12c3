"""Rendering: 64x64 views per CPU second, against MiniWorld used as documented."""

import math
import time
from functools import partial
from itertools import count, islice, product
from typing import Any

from benchmarks.harness import Effort, Metric, alternate, at_least
from benchmarks.processes import Worker
from env.camera import RingConfig, ring_pose
from env.scene import BodyEvent, Scene, SceneConfig

VIEWS = 400  # in a round
CAMERAS = (1, 4)
MIN_RATE = 1000.0  # views per CPU second
NAMES = tuple(f"agent-{index}" for index in range(4))
POSES = tuple(ring_pose(index, RingConfig()) for index in range(4))


class Views:
    """Renders views of the default scene with the bodies of four agents."""

    def __init__(self, stock: bool) -> None:
        """Build a renderer: ours, or stock MiniWorld."""
        config = SceneConfig()
        self.scene = Scene(
            config, 0, [BodyEvent(0, name, pose) for name, pose in zip(NAMES, POSES, strict=True)]
        )
        self.renderer = stock_renderer(config) if stock else our_renderer(config)
        self.ticks = count()

    def __call__(self, cameras: int, views: int) -> dict[str, float]:
        """Render every tick from some cameras; return views per CPU second over all threads."""
        ticks = list(islice(self.ticks, math.ceil(views / cameras)))
        began = time.process_time()
        for tick, index in islice(product(ticks, range(cameras)), views):
            self.renderer.render(self.scene.state(tick), POSES[index], NAMES[index])
        return {"rate": views / (time.process_time() - began)}


def our_renderer(config: SceneConfig) -> Any:
    """Return the project's renderer."""
    from env.renderers.build import build_renderer

    return build_renderer(config)


def stock_renderer(config: SceneConfig) -> Any:
    """Return the reference renderer."""
    from benchmarks.speed.stock_miniworld import StockRenderer

    return StockRenderer(config)


def metrics(effort: Effort) -> list[Metric]:
    """Measure both renderers in turns, each in a worker process."""
    views = effort.of(VIEWS)
    headless = {"PYGLET_HEADLESS": "True"}  # stock MiniWorld needs a display otherwise
    with (
        Worker("benchmarks.speed.rendering:Views", stock=False) as ours,
        Worker("benchmarks.speed.rendering:Views", headless, stock=True) as stock,
    ):
        measures = {
            f"{name} {cameras}": partial(worker, cameras=cameras, views=views)
            for cameras in CAMERAS
            for name, worker in (("ours", ours), ("stock", stock))
        }
        found = alternate(measures, effort.rounds)
    return [
        Metric(
            f"views rendered, {cameras} camera{'s' if cameras > 1 else ''}", found[f"ours {cameras}"]["rate"],
            "views/s per CPU", "stock MiniWorld", found[f"stock {cameras}"]["rate"], at_least(MIN_RATE),
        )
        for cameras in CAMERAS
    ]  # fmt: skip

"""Renderers: views recorded per CPU second, and how similar their pictures are to MiniWorld's."""

import math
import time
from functools import partial
from itertools import count, islice
from typing import Any

import numpy as np

from benchmarks.harness import Effort, Metric, alternate, at_least
from benchmarks.inverter import ssim
from benchmarks.processes import Worker
from env.camera import RingConfig, ring_pose
from env.camera_motion import CameraMotionConfig
from env.recording import Recorder
from env.renderers.build import build_renderer
from env.scene import BodyEvent, Scene, SceneConfig

VIEWS, MOVING_VIEWS = 2048, 128  # in a round; of a camera that stands still, and of one that moves
MIN_RATE = 20_000.0  # views per CPU second
COMPARED = 200  # pictures
RINGS = (RingConfig(), RingConfig(height=1.6, pitch=-12))  # from above, and from where objects hide others
MOTION = CameraMotionConfig(pan=12, tilt=6, walk=0.6)


def recorder_of(renderer: str, motion: CameraMotionConfig, ring: RingConfig, index: int = 0) -> Recorder:
    """Return a camera in the default scene, with the bodies of four agents."""
    config = SceneConfig(renderer=renderer, camera_motion=motion)
    poses = [ring_pose(k, ring) for k in range(4)]
    events = [BodyEvent(0, f"agent-{k}", pose) for k, pose in enumerate(poses)]
    return Recorder(Scene(config, 0, events), build_renderer(config), poses[index], f"agent-{index}")


class Recordings:
    """Records ticks with one renderer, on one thread."""

    def __init__(self, renderer: str, moving: bool = False) -> None:
        """Build a camera, which moves or stands still."""
        if renderer == "batch":
            import torch

            torch.set_num_threads(1)
        self.recorder = recorder_of(renderer, MOTION if moving else CameraMotionConfig(), RINGS[0])
        self.ticks = count()

    def __call__(self, views: int) -> dict[str, float]:
        """Record the next ticks; return views per CPU second."""
        ticks = list(islice(self.ticks, views))
        began = time.process_time()
        self.recorder.record(ticks)
        return {"rate": views / (time.process_time() - began)}


class Similarity:
    """Compares pictures of the same states and poses with MiniWorld's."""

    def __call__(self, pictures: int) -> dict[str, float]:
        """Return structural similarity and absolute difference in gray levels, means over pictures."""
        frames = {name: self.frames(name, pictures) for name in ("miniworld", "batch", "toy")}
        found = {}
        for name in ("batch", "toy"):
            found[f"{name} ssim"] = float(ssim(frames[name] / 255, frames["miniworld"] / 255).mean())
            found[f"{name} difference"] = float(np.abs(frames[name] - frames["miniworld"]).mean())
        return found

    def frames(self, renderer: str, pictures: int) -> np.ndarray:
        """Return pictures of random ticks from both rings, float [K, H, W, 3]."""
        ticks = np.random.default_rng(0).integers(0, 100_000, math.ceil(pictures / 4))
        found = []
        for ring in RINGS:
            for index in range(2):
                recorder = recorder_of(renderer, CameraMotionConfig(), ring, index)
                found.append(recorder.record(ticks.tolist()).frames.astype(float))
                recorder.renderer.close()
        return np.concatenate(found)


def metrics(effort: Effort) -> list[Metric]:
    """Measure the renderers in turns, each in a worker process."""
    kinds: dict[str, dict[str, Any]] = {
        "toy": {"renderer": "toy"}, "batch": {"renderer": "batch"}, "miniworld": {"renderer": "miniworld"},
        "batch, moving": {"renderer": "batch", "moving": True},
        "miniworld, moving": {"renderer": "miniworld", "moving": True},
    }  # fmt: skip
    workers = {name: Worker("benchmarks.speed.renderers:Recordings", **kind) for name, kind in kinds.items()}
    try:
        measures = {
            name: partial(worker, views=effort.of(MOVING_VIEWS if "moving" in name else VIEWS))
            for name, worker in workers.items()
        }
        found = alternate(measures, effort.rounds)
    finally:
        for worker in workers.values():
            worker.__exit__()
    with Worker("benchmarks.speed.renderers:Similarity") as similarity:
        compared = similarity(pictures=max(4, effort.of(COMPARED)))
    return [*_rates(found), *_similarities(compared)]


def _rates(found: dict[str, dict[str, float]]) -> list[Metric]:
    unit, reference, bound = "views/s per CPU", found["miniworld"]["rate"], at_least(MIN_RATE)
    return [
        Metric("views recorded, toy", found["toy"]["rate"], unit, "miniworld", reference, bound),
        Metric("views recorded, batch", found["batch"]["rate"], unit, "miniworld", reference, bound),
        Metric(
            "views recorded, batch, camera moves", found["batch, moving"]["rate"], unit,
            "miniworld, camera moves", found["miniworld, moving"]["rate"],
        ),
    ]  # fmt: skip


def _similarities(compared: dict[str, float]) -> list[Metric]:
    return [
        Metric(
            "structural similarity with miniworld, batch", compared["batch ssim"], "", "toy",
            compared["toy ssim"], at_least(0.98),
        ),
        Metric(
            "difference from miniworld, batch", compared["batch difference"], "gray levels", "toy",
            compared["toy difference"],
        ),
    ]  # fmt: skip

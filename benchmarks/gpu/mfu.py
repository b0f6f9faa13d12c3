"""MFU: counted FLOPs of the training step by second, as a share of the peak of the device."""

import math
from dataclasses import replace

import torch

from agents.models.registry import build_world_model
from agents.training.trainer import Trainer
from benchmarks.gpu.common import device_name, peak_flops, synchronize, wanted_device
from benchmarks.harness import Effort, Metric, log, seconds
from benchmarks.speed.training import SEED, LoopRenderer
from env.camera import RingConfig, ring_pose
from env.recording import Recorder
from env.scene import Scene, SceneConfig
from social_jepa.config.run_config import RunConfig, load_config
from social_jepa.experiments.common.training_loop import count_flops

STEPS = 200  # timed
WARMUP_STEPS = 20  # before them: kernels are chosen and memory is allocated
WIDE = 8  # times the frames of a batch: whether the device is busy with the default batch


def build_trainer(config: RunConfig, device: torch.device) -> Trainer:
    """Return an agent's trainer on a device, its replay buffer full of toy frames."""
    pose = ring_pose(0, RingConfig())
    scene = Scene(SceneConfig(renderer="toy", frame_size=config.scene.frame_size), seed=SEED[0])
    loop = LoopRenderer(scene, pose)
    model = build_world_model("jepa", config.model, config.scene.frame_size, SEED).to(device)
    training = replace(config.training, steps=10**6)  # a schedule that does not end here
    trainer = Trainer(model, Recorder(scene, loop, pose), 0, training, SEED)
    trainer.record(lambda: False)
    model.calibrate(torch.from_numpy(loop.frames))
    return trainer


def take_steps(trainer: Trainer, device: torch.device, steps: int) -> None:
    """Take optimizer steps, and wait for the device."""
    until = trainer.step + steps
    trainer.run(lambda: None, lambda: False, until)
    synchronize(device)


def measure(config: RunConfig, device: torch.device, steps: int) -> tuple[float, float]:
    """Return (counted FLOPs of one step, seconds of one step)."""
    trainer = build_trainer(config, device)
    take_steps(trainer, device, max(1, min(WARMUP_STEPS, steps)))
    _, flops = count_flops(lambda: take_steps(trainer, device, 1))
    return flops, seconds(lambda: take_steps(trainer, device, steps)) / steps


def rows(label: str, frames: int, flops: float, step_seconds: float, name: str) -> list[Metric]:
    """Return the metrics of one batch size.

    Args:
        label: Which batch.
        frames: Frames in a batch.
        flops: Counted FLOPs of one step.
        step_seconds: Seconds of one step.
        name: Name of the device.
    """
    peak, rate = peak_flops(name), flops / step_seconds
    known = math.isfinite(peak)
    return [
        Metric(f"{label}: frames trained on", frames / step_seconds, "frames/s", name, math.nan),
        Metric(f"{label}: step", 1e3 * step_seconds, "ms", name, math.nan),
        Metric(
            f"{label}: MFU (ratio)", rate / 1e12, "TFLOP/s", f"peak of {name}" if known else "peak unknown",
            peak / 1e12,
        ),
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Time the training step with the default batch, and with a wide one."""
    config, device = load_config(None, effort.settings), wanted_device(effort.settings)
    replay_ticks = max(256, effort.of(config.training.replay_ticks))
    found = []
    for label, factor in (("default batch", 1), (f"batch of {WIDE} times as many", WIDE)):
        log(f"  {label}")
        segments = factor * config.training.segments
        training = replace(config.training, segments=segments, replay_ticks=replay_ticks)
        flops, step_seconds = measure(replace(config, training=training), device, effort.of(STEPS))
        found += rows(label, segments * training.segment_ticks, flops, step_seconds, device_name(device))
    return found

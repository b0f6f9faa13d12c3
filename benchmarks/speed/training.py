"""Training: frames a second on one core, as agents train, against the same step written plainly."""

import itertools
import time
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig
from agents.models.world_model import Jepa
from agents.training.settings import TrainingConfig
from agents.training.trainer import Trainer
from benchmarks.harness import CpuStopwatch, Effort, Metric, alternate, at_least
from benchmarks.processes import Worker
from benchmarks.speed.plain_training import PlainModel, PlainTrainer, loader
from env.camera import Pose, RingConfig, ring_pose
from env.recording import Recorder
from env.renderers.base import build_renderer
from env.scene import Scene, SceneConfig, SceneState

STEPS = 4  # in a round
FOREVER = 100_000  # steps until the schedule of the learning rate ends
PICTURES = 512  # that differ; drawing them is not what is timed
SEED = (7, 0, 1)
GOAL = 4.0
PARTS = {
    "input": "fetch the batch",
    "normalise": "normalise (plain: in encode)",
    "forward": "encode, objective",
    "backward": "backward",
    "rest": "clip, optimiser",
}


class Loop:
    """A renderer that shows the same stretch of toy pictures over and over."""

    def __init__(self, scene: Scene, pose: Pose) -> None:
        """Draw the stretch."""
        self.pictures = Recorder(scene, build_renderer(scene.config), pose).record(range(PICTURES)).frames

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return the picture of a tick, uint8 [H, W, 3]."""
        return self.pictures[state.tick % PICTURES]

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


def our_trainer(config: TrainingConfig, precision: str = "auto") -> Trainer:
    """Return what an agent trains with, its window full and its model calibrated."""
    pose = ring_pose(0, RingConfig())
    scene = Scene(SceneConfig(renderer="toy"), seed=SEED[0])
    loop = Loop(scene, pose)
    model = build_world_model("jepa", ModelConfig(precision=precision), scene.config.frame_size, SEED)
    trainer = Trainer(model, Recorder(scene, loop, pose), 0, config, SEED)
    trainer.record(lambda: False)
    model.calibrate(torch.from_numpy(loop.pictures))
    return trainer


def plain_trainer(ours: Trainer) -> PlainTrainer:
    """Return the plain step with the same weights and the same normalisation as ours has now."""
    model = ours.model
    assert isinstance(model, Jepa)
    size = round((model.normalise.mean.numel() / 3) ** 0.5)
    mean = model.normalise.mean.view(size, size, 3).permute(2, 0, 1).contiguous() / 255
    plain = PlainModel(model.config, mean, 1 / (255 * model.normalise.scale))
    plain.net.load_state_dict(model.encoder.state_dict())
    return PlainTrainer(plain, model.config, ours.config)


def starts(config: TrainingConfig) -> Iterator[list[int]]:
    """Yield where the segments of step 0, 1, ... of our trainer begin in its window."""
    for step in itertools.count():
        rng = np.random.default_rng([*SEED, step])
        yield rng.integers(0, config.replay_ticks - config.segment_ticks + 1, size=config.segments).tolist()


class OurStep:
    """The step as agents run it, timed by part."""

    def __init__(self, window: int) -> None:
        """Fill a window."""
        torch.set_num_threads(1)
        self.trainer = our_trainer(TrainingConfig(steps=FOREVER, replay_ticks=window))
        self.clock = CpuStopwatch()
        self.clock.watch(self.trainer.replay_buffer, "read", "input")
        self.clock.watch(self.trainer.model.normalise, "forward", "normalise")
        self.clock.watch(self.trainer.model, "loss", "forward")
        self.clock.watch(Tensor, "backward", "backward")

    def __call__(self, steps: int) -> dict[str, float]:
        """Take some steps; return frames a CPU second, milliseconds a step by part, and the last loss."""
        self.clock.parts = {}
        until, began = self.trainer.step + steps, time.process_time()
        self.trainer.run(lambda: None, lambda: self.trainer.step >= until)
        spent = self.clock.parts
        spent["forward"] -= spent["normalise"]  # it is called within
        return report(self.trainer.config, steps, time.process_time() - began, spent, self.trainer.losses[-1])


class PlainStep:
    """The same step, written plainly."""

    def __init__(self, window: int) -> None:
        """Fill a window and take over the first weights of ours."""
        torch.set_num_threads(1)
        self.config = TrainingConfig(steps=FOREVER, replay_ticks=window)
        ours = our_trainer(self.config)
        self.trainer = plain_trainer(ours)
        frames = ours.replay_buffer.read(ours.replay_buffer.ticks)
        self.batches = iter(loader(frames, self.config.segment_ticks, starts(self.config)))
        self.clock = CpuStopwatch()

    def __call__(self, steps: int) -> dict[str, float]:
        """Take some steps; return what ours does."""
        self.clock.parts = {}
        began = time.process_time()
        for _ in range(steps):
            batch = self.clock.timed("input", next)(self.batches)
            loss = self.clock.timed("forward", self.trainer.forward)(batch)
            value = loss.item()
            self.clock.timed("backward", self.trainer.backward)(loss)
            self.trainer.update()
        return report(self.config, steps, time.process_time() - began, self.clock.parts, value)


def report(
    config: TrainingConfig, steps: int, total: float, spent: dict[str, float], loss: float
) -> dict[str, float]:
    """Return the figures of one round."""
    frames = steps * config.segments * config.segment_ticks
    parts = {"normalise": 0.0, **spent}
    parts["rest"] = total - sum(parts.values())
    return {"rate": frames / total, "loss": loss, **{part: 1e3 * parts[part] / steps for part in PARTS}}


def figures(effort: Effort) -> list[Metric]:
    """Measure both in turns, each in a process of its own with one thread."""
    from social_jepa.runtime.cluster import MALLOC

    one = {"OMP_NUM_THREADS": "1"}
    window = max(256, effort.of(TrainingConfig().replay_ticks))
    steps = effort.of(STEPS)
    with (
        Worker("benchmarks.speed.training:OurStep", one | MALLOC, window=window) as ours,
        Worker("benchmarks.speed.training:PlainStep", one, window=window) as plain,
    ):
        found = alternate(
            {"ours": lambda: ours(steps=steps), "plain": lambda: plain(steps=steps)}, effort.rounds
        )
    return rows(found["ours"], found["plain"])


def rows(mine: Mapping[str, float], theirs: Mapping[str, float]) -> list[Metric]:
    """Return the speed, where the time goes, and the loss, which tells that both do the same."""
    return [
        Metric(
            "frames trained on", mine["rate"], "frames/s per core", "the step written plainly",
            theirs["rate"], at_least(GOAL, of_ratio=True),
        ),
        *(
            Metric(f"- {label}", mine[part], "ms a step", "plain", theirs[part])
            for part, label in PARTS.items()
        ),
        Metric("loss at the same step", mine["loss"], "", "plain, fp32", theirs["loss"]),
    ]  # fmt: skip

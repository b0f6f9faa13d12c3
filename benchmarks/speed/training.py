"""Training: frames per CPU second of the agents' training step, against a plain PyTorch step."""

import itertools
import time
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from agents.models.jepa import Jepa
from agents.models.registry import build_world_model
from agents.models.settings import ModelConfig
from agents.training.settings import TrainingConfig
from agents.training.trainer import Trainer
from benchmarks.harness import CpuTimer, Effort, Metric, alternate, at_least
from benchmarks.processes import Worker
from benchmarks.speed.plain_training import PlainModel, PlainTrainer, loader
from env.camera import Pose, RingConfig, ring_pose
from env.recording import Recorder
from env.renderer import Renderer
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from env.scene_state import SceneState

STEPS = 4  # in a round
SCHEDULE_STEPS = 100_000  # length of the learning rate schedule, never reached
DISTINCT_FRAMES = 512  # rendered once: rendering is not timed
SEED = (7, 0, 1)
MIN_SPEEDUP = 4.0
SECTIONS = {
    "input": "fetch the batch",
    "normalize": "normalize (plain: in encode)",
    "forward": "encode, objective",
    "backward": "backward",
    "rest": "clip, optimizer",
}


class LoopRenderer(Renderer):
    """A renderer that repeats the same toy frames."""

    def __init__(self, scene: Scene, pose: Pose) -> None:
        """Render the frames."""
        self.frames = (
            Recorder(scene, build_renderer(scene.config), pose).record(range(DISTINCT_FRAMES)).frames
        )

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return the frame of a tick, uint8 [H, W, 3]."""
        return self.frames[state.tick % DISTINCT_FRAMES]

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


def our_trainer(config: TrainingConfig, precision: str = "auto") -> Trainer:
    """Return an agent's trainer with a full replay buffer and a calibrated model."""
    pose = ring_pose(0, RingConfig())
    scene = Scene(SceneConfig(renderer="toy"), seed=SEED[0])
    loop = LoopRenderer(scene, pose)
    model = build_world_model("jepa", ModelConfig(precision=precision), scene.config.frame_size, SEED)
    trainer = Trainer(model, Recorder(scene, loop, pose), 0, config, SEED)
    trainer.record(lambda: False)
    model.calibrate(torch.from_numpy(loop.frames))
    return trainer


def plain_trainer(ours: Trainer) -> PlainTrainer:
    """Return the plain trainer with the current weights and normalization of ours."""
    model = ours.model
    assert isinstance(model, Jepa)
    size = round((model.normalize.mean.numel() / 3) ** 0.5)
    mean = model.normalize.mean.view(size, size, 3).permute(2, 0, 1).contiguous() / 255
    plain = PlainModel(model.config, mean, 1 / (255 * model.normalize.scale))
    plain.net.load_state_dict(model.encoder.state_dict())
    return PlainTrainer(plain, model.config, ours.config)


def starts(config: TrainingConfig) -> Iterator[list[int]]:
    """Yield the starts of the segments of step 0, 1, ... of our trainer in its replay buffer."""
    for step in itertools.count():
        rng = np.random.default_rng([*SEED, step])
        yield rng.integers(0, config.replay_ticks - config.segment_ticks + 1, size=config.segments).tolist()


class OurStep:
    """The training step of agents, timed by section."""

    def __init__(self, replay_ticks: int) -> None:
        """Fill a replay buffer."""
        torch.set_num_threads(1)
        self.trainer = our_trainer(TrainingConfig(steps=SCHEDULE_STEPS, replay_ticks=replay_ticks))
        self.timer = CpuTimer()
        self.timer.wrap(self.trainer.replay_buffer, "read", "input")
        self.timer.wrap(self.trainer.model.normalize, "forward", "normalize")
        self.timer.wrap(self.trainer.model, "loss", "forward")
        self.timer.wrap(Tensor, "backward", "backward")

    def __call__(self, steps: int) -> dict[str, float]:
        """Run some steps; return frames per CPU second, ms/step by section, and the last loss."""
        self.timer.sections = {}
        stop, began = self.trainer.step + steps, time.process_time()
        self.trainer.run(lambda: None, lambda: self.trainer.step >= stop)
        durations = self.timer.sections
        durations["forward"] -= durations["normalize"]  # called within loss
        return report(
            self.trainer.config, steps, time.process_time() - began, durations, self.trainer.losses[-1]
        )


class PlainStep:
    """The plain PyTorch step."""

    def __init__(self, replay_ticks: int) -> None:
        """Fill a replay buffer and copy the initial weights of ours."""
        torch.set_num_threads(1)
        self.config = TrainingConfig(steps=SCHEDULE_STEPS, replay_ticks=replay_ticks)
        ours = our_trainer(self.config)
        self.trainer = plain_trainer(ours)
        frames = ours.replay_buffer.read(ours.replay_buffer.ticks)
        self.batches = iter(loader(frames, self.config.segment_ticks, starts(self.config)))
        self.timer = CpuTimer()

    def __call__(self, steps: int) -> dict[str, float]:
        """Run some steps; return the same values as OurStep."""
        self.timer.sections = {}
        began = time.process_time()
        for _ in range(steps):
            batch = self.timer.timed("input", next)(self.batches)
            loss = self.timer.timed("forward", self.trainer.forward)(batch)
            value = loss.item()
            self.timer.timed("backward", self.trainer.backward)(loss)
            self.trainer.update()
        return report(self.config, steps, time.process_time() - began, self.timer.sections, value)


def report(
    config: TrainingConfig, steps: int, total: float, durations: dict[str, float], loss: float
) -> dict[str, float]:
    """Return the values of one round."""
    frames = steps * config.segments * config.segment_ticks
    durations = {"normalize": 0.0, **durations}
    durations["rest"] = total - sum(durations.values())
    return {
        "rate": frames / total,
        "loss": loss,
        **{section: 1e3 * durations[section] / steps for section in SECTIONS},
    }


def metrics(effort: Effort) -> list[Metric]:
    """Measure both steps in turns, each in a worker process with one thread."""
    from social_jepa.runtime.cluster import MALLOC

    one = {"OMP_NUM_THREADS": "1"}
    replay_ticks = max(256, effort.of(TrainingConfig().replay_ticks))
    steps = effort.of(STEPS)
    with (
        Worker("benchmarks.speed.training:OurStep", one | MALLOC, replay_ticks=replay_ticks) as ours,
        Worker("benchmarks.speed.training:PlainStep", one, replay_ticks=replay_ticks) as plain,
    ):
        found = alternate(
            {"ours": lambda: ours(steps=steps), "plain": lambda: plain(steps=steps)}, effort.rounds
        )
    return rows(found["ours"], found["plain"])


def rows(mine: Mapping[str, float], theirs: Mapping[str, float]) -> list[Metric]:
    """Return the speed, the time of each section, and the loss, which shows that both steps are equal."""
    return [
        Metric(
            "frames trained on", mine["rate"], "frames/s per CPU", "plain PyTorch step",
            theirs["rate"], at_least(MIN_SPEEDUP, of_ratio=True),
        ),
        *(
            Metric(f"- {label}", mine[section], "ms/step", "plain", theirs[section])
            for section, label in SECTIONS.items()
        ),
        Metric("loss at the same step", mine["loss"], "", "plain, fp32", theirs["loss"]),
    ]  # fmt: skip

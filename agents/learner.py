"""The half of an agent that learns: a camera, a world model in training, and what it keeps on disk."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agents.models.checker import check_world_model
from agents.models.registry import build_world_model
from agents.models.world_model import WorldModel, encode_with
from agents.protocol.settings import tick_ranges
from agents.settings import GAP
from agents.snapshot import BASIS_TENSORS
from agents.spec import AgentSpec, Progress, sensor_seed
from agents.training.checkpoint import (
    check_owner,
    load_model,
    optimizer_tensors,
    read_checkpoint,
    write_checkpoint,
)
from agents.training.distillation import distill
from agents.training.trainer import Trainer
from alignment.core import CoreBasis
from env.camera import Pose
from env.renderers.base import build_renderer
from env.scene import BodyEvent, Scene
from env.sensors import SensorRecorder

CHUNK = 512  # frames rendered and embedded at a time
KEPT_LOSSES = 20_000  # the newest ones; an agent may learn for weeks


class Learner:
    """A camera and its world model. Build it where it will live: its renderer belongs to one thread.

    Attributes:
        held_ticks: Ticks that maps are scored on; ``fit_ticks`` those that they are fitted on. No course
            touches either.
        basis: Axes of the predictable core, once found.
        checkpoint: Hash of what was saved last.
    """

    def __init__(self, spec: AgentSpec) -> None:
        """Build the scene, the camera and an untrained model."""
        self.spec = spec
        self.scene = Scene(spec.scene, spec.seed, spec.events)
        self.gap = max(GAP, spec.scene.decorrelation_ticks)
        self.held_ticks, self.fit_ticks, self.first = tick_ranges(spec.negotiation, self.gap)
        self.scene.check_pose(spec.pose)
        self.renderer = build_renderer(spec.scene)
        self.model = self.build_model()
        self.phase = "waiting"
        self.basis: CoreBasis | None = None
        self.checkpoint = ""
        self.saved_at = self.drift = 0.0
        self.distill_frames = 0
        self._start_training()

    def build_model(self) -> WorldModel:
        """Return an untrained model, the same every time."""
        spec = self.spec
        model = build_world_model(spec.kind, spec.model, spec.scene.frame_size, (spec.seed, spec.index, 0))
        return model.to("cpu" if spec.device == "auto" else spec.device)

    def check_model(self) -> None:
        """Try a model of a user's own against the contract, before it learns for minutes.

        Raises:
            WorldModelError: It breaks the contract; the text says where and how to mend it.
        """
        if ":" in self.spec.kind:
            size, seed = self.spec.scene.frame_size, (self.spec.seed, self.spec.index, 6)
            check_world_model(
                self.model,
                size,
                rebuild=lambda: build_world_model(self.spec.kind, self.spec.model, size, seed),
            )

    def _start_training(self) -> None:
        """Stand at step 0 of this era's course."""
        spec = self.spec
        needs, words = spec.model.sensor_spec_of(spec.kind), sensor_seed(spec.seed, spec.index)
        self.recorder = SensorRecorder(self.scene, self.renderer, spec.pose, spec.name, needs, words)
        seed = (
            (spec.seed, spec.index, 1, spec.pose_version) if spec.pose_version else (spec.seed, spec.index, 1)
        )
        self.trainer = Trainer(self.model, self.recorder, self.first, spec.training, seed)

    @property
    def path(self) -> Path:
        """Where its checkpoint lives."""
        return Path(self.spec.folder) / "checkpoint.safetensors"

    def train(self, stop: Callable[[], bool] = lambda: False, until: int | None = None) -> bool:
        """Train to a step, by default the course's last, or until asked to stop; return if it is there."""
        self.phase = "recording"
        finished = self.trainer.record(stop)
        if finished and self.trainer.step == 0:
            self._calibrate()
        self.phase = "training"
        finished = finished and self.trainer.run(self._after_step, stop, until)
        self.save()
        self.phase = "trained" if finished else "stopped"
        return finished

    def _calibrate(self) -> None:
        rng = np.random.default_rng([self.spec.seed, self.spec.index, 3])
        ticks = self.trainer.replay_buffer.draw(rng, 2 * CHUNK, 1)[:, 0]
        self.model.calibrate(torch.from_numpy(self.trainer.replay_buffer.read(ticks)))

    def _after_step(self) -> None:
        if len(self.trainer.losses) > 2 * KEPT_LOSSES:
            del self.trainer.losses[:-KEPT_LOSSES]
        if self.trainer.step % self.spec.training.checkpoint_every == 0:
            self.save()

    def encode_ticks(self, ticks: Iterable[int], model: WorldModel | None = None) -> Tensor:
        """Return what a model, by default its newest, makes of these ticks, float32 [K, D], in raw axes.

        What the window holds is read, the rest is drawn.
        """
        wanted = np.fromiter(ticks, dtype=np.int64)
        chunks = (wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK))
        return torch.cat([self._encode(chunk, model or self.model) for chunk in chunks])

    @torch.inference_mode()
    def _encode(self, ticks: np.ndarray, model: WorldModel) -> Tensor:
        window = self.trainer.replay_buffer
        frames = window.read(ticks) if window.holds(ticks) else self.recorder.record(ticks).frames
        model.eval()
        return encode_with(model, torch.from_numpy(frames), self.recorder.sensor_data(ticks)).cpu()

    def distill(self, first: int, taught: Tensor, pause: Callable[[], bool]) -> bool:
        """Learn from what a teacher makes of consecutive ticks, [K, D_teacher]; return whether it is done.

        The course counts as done then: what follows is learning on, alone.

        Raises:
            ValueError: The lesson is not of the first ticks of a course, or of more than it remembers.
        """
        if first != self.first:
            raise ValueError(
                f"a lesson begins at tick {self.first}, where no map is fitted or scored, not {first}"
            )
        room = self.trainer.buffer_ticks
        if len(taught) > room:
            raise ValueError(f"a lesson of {len(taught)} ticks is more than the {room} that it remembers")
        self.phase = "listening"
        began = time.perf_counter()
        self.trainer.replay_buffer.advance_to(first + len(taught))
        self.trainer.record_seconds = time.perf_counter() - began
        self._calibrate()
        encode = self._row_encoder(np.arange(first, first + len(taught)))
        seed, config = (self.spec.seed, self.spec.index, 4), self.spec.distillation
        began = time.perf_counter()
        config = replace(config, batch=min(config.batch, len(taught)))
        read = distill(self.model, encode, taught, config, self.spec.training, seed, pause)
        self.trainer.train_seconds = time.perf_counter() - began
        if read is not None:
            self.distill_frames = read * self.trainer.views
            self.trainer.step = self.trainer.steps_replaced_by_distillation = self.spec.training.steps
        return read is not None

    def _row_encoder(self, ticks: np.ndarray) -> Callable[[np.ndarray], Tensor]:
        """Return what embeds some of these ticks, by row, with a gradient."""

        def encode(rows: np.ndarray) -> Tensor:
            seen = torch.from_numpy(self.trainer.replay_buffer.read(ticks[rows]))
            return encode_with(self.model, seen, self.recorder.sensor_data(ticks[rows]))

        return encode

    def move(self, pose: Pose, pose_version: int) -> None:
        """Turn the camera to another view; what was public no longer holds, and another course begins.

        Raises:
            ValueError: A camera cannot stand there.
        """
        self.scene.check_pose(pose)
        self.spec = replace(self.spec, pose=pose, pose_version=pose_version)
        self.basis = None
        self.distill_frames = 0
        self._start_training()
        self.phase = "waiting"
        self.save()

    def set_body_events(self, events: Sequence[BodyEvent]) -> None:
        """Take in which bodies stand in the scene when."""
        if tuple(events) != self.spec.events:
            self.spec = replace(self.spec, events=tuple(events))
            self.recorder.scene = self.scene = Scene(self.spec.scene, self.spec.seed, self.spec.events)

    def progress(self) -> Progress:
        """Return how it is doing; safe to call from another thread."""
        trainer, config = self.trainer, self.spec.training
        batch = config.segments * config.segment_ticks * trainer.views
        speed = trainer.steps_this_process * batch / trainer.train_seconds if trainer.train_seconds else 0.0
        left = max(0, config.steps - trainer.step) * batch / speed if speed else math.nan
        loss = trainer.losses[-1] if trainer.losses else math.nan
        return Progress(
            self.spec.name, self.phase, trainer.step, config.steps, len(trainer.replay_buffer),
            trainer.replay_buffer.ticks.stop, trainer.frames, loss, speed, left, trainer.record_seconds,
            trainer.train_seconds, self.spec.device, self.drift, self.saved_at, self.distill_frames,
        )  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint: model, optimiser, basis and where it is."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= optimizer_tensors(self.trainer.optimizer)
        if self.basis is not None:
            tensors |= {f"basis.{name}": getattr(self.basis, name) for name in BASIS_TENSORS}
        facts = self.owner() | {
            "step": self.trainer.step, "core_dim": self.basis.core_dim if self.basis else None,
            "losses": self.trainer.losses[-KEPT_LOSSES:], "frames": self.trainer.frames,
            "pose_version": self.spec.pose_version, "distill_frames": self.distill_frames,
        }  # fmt: skip
        self.checkpoint = write_checkpoint(self.path, tensors, facts)
        self.saved_at = time.time()

    def load(self) -> None:
        """Go on from the checkpoint in the agent's folder.

        Raises:
            CheckpointError: It is missing, damaged, or of another agent, scene or size of model.
        """
        tensors, facts, version = read_checkpoint(self.path)
        check_owner(self.path, facts, self.owner())
        load_model(self.path, self.model, tensors)
        if int(facts["pose_version"]) != self.spec.pose_version:
            return  # the camera moved and it died before it could save: the weights are all that holds
        self.checkpoint = version
        self.trainer.saved = {name: part for name, part in tensors.items() if name.startswith("optimizer.")}
        self.trainer.step = int(facts["step"])
        self.trainer.losses = list(facts["losses"])
        self.distill_frames = int(facts["distill_frames"])
        self.trainer.steps_replaced_by_distillation = self.spec.training.steps if self.distill_frames else 0
        if "basis.mean" in tensors:
            found = {name: tensors[f"basis.{name}"] for name in BASIS_TENSORS}
            self.basis = CoreBasis(**found, core_dim=int(facts["core_dim"]))

    def owner(self) -> dict[str, object]:
        """Return what a file must agree with to be this agent's."""
        return {"name": self.spec.name, "kind": self.spec.kind, "scene": self.scene.fingerprint}

    def close(self) -> None:
        """Free the renderer."""
        self.renderer.close()

"""One agent: its camera, the world model in training, and the model that its peers know. No Ray here."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agents.common.streams import Stream, stream_seed
from agents.further_encoders import STAGES, FurtherEncoders
from agents.model_files import ModelFiles
from agents.models.registry import build_world_model
from agents.models.world_model import WorldModel, encode_with
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.negotiation import Negotiation
from agents.public_scene import PublicCamera
from agents.snapshot import AgentSnapshot, PublishedModel
from agents.spec import AgentSpec, Progress
from agents.tick_plan import TickPlan
from agents.training.loss_curve import LossCurve
from agents.training.stage_data import CHUNK
from agents.training.stages import count_encoders, drop_stages
from agents.training.trainer import Trainer
from agents.training_state import SAVED_LOSSES, encode_training_state
from alignment.anchors import AnchorSet
from alignment.collapse import explain_collapse
from alignment.core import CoreBasis, effective_rank, find_core
from alignment.raw_map import raw_metric
from env.camera import Pose
from env.renderers.build import share_renderer
from env.scene import BodyEvent, Scene
from env.sensors import SensorRecorder

SNAPSHOT_LOSSES = 2000  # newest losses in a snapshot


class Agent:
    """A camera and its world model, in training and as published to peers.

    Agents of one process share a renderer: one of them may use it at a time.

    Attributes:
        spec: What the agent was built from; changes when its camera moves.
        model: The world model in training.
        trainer: Its optimizer, replay buffer and schedule.
        ticks: Which ticks it uses for what.
        public_camera: Sees what peers get embeddings of, where that is a public scene; else None.
        phase: What it is doing; one of `Progress.phase`.
        basis: Axes of the core of the newest model, once found.
        drift: How far the newest model has left the published one, see `agents.drift`.
        distill_frames: Frames read during distillation.
        stage_steps: Optimizer steps of further encoders; None before they were tried.
        collapse: How the latents of the newest published model collapsed, as a clause; "" if not.
        distill_losses: Losses of distillation, one a step.
        published: The model that peers know; None before the first and after a camera move.
        negotiation: This agent's side of negotiating maps with that model.
        files: Its checkpoint and the file of its published model.
        on_progress: Called after every part of an encoding that may take long.
        on_step: Called after every optimizer step of the trainer.
    """

    trainer: Trainer
    stage_steps: int | None
    public_camera: PublicCamera | None

    def __init__(self, spec: AgentSpec, on_saved: Callable[[Path], None] = lambda path: None) -> None:
        """Build the scene, the camera and an untrained model.

        Args:
            spec: What to build it from.
            on_saved: Called with the path of each file that has been written.

        Raises:
            ValueError: The camera's pose cannot see the scene, or a pool of anchors is too short for it.
        """
        self.spec = spec
        self.scene = Scene(spec.scene, spec.seed, spec.events)
        memory = spec.scene.decorrelation_ticks
        self.ticks = TickPlan.of(spec.negotiation, spec.training, memory, spec.train_offset)
        self.scene.check_pose(spec.pose)
        self.model = self.build_model()
        self.renderer = share_renderer(spec.scene, spec.device if spec.device.startswith("cuda") else "cpu")
        self.phase = "waiting"
        self.basis: CoreBasis | None = None
        self.drift, self.collapse = 0.0, ""
        self.distill_frames, self.distill_losses = 0, list[float]()
        self.published: PublishedModel | None = None
        self.negotiation: Negotiation | None = None
        self.files = ModelFiles(
            Path(spec.folder), lambda: encode_training_state(self), self._encode_published, on_saved
        )
        self.on_progress: Callable[[], None] = lambda: None
        self.on_step: Callable[[], None] = lambda: None
        self.further_encoders = FurtherEncoders(self)
        try:
            self.start_training()
        except BaseException:
            self.close()  # other agents of the process may go on
            raise

    @property
    def anchor_scene(self) -> Scene:
        """The scene whose frames its anchors are: a public one, or its own."""
        return self.scene if self.public_camera is None else self.public_camera.scene

    def build_model(self) -> WorldModel:
        """Return an untrained model on the agent's device; the same one at every call."""
        spec = self.spec
        model = build_world_model(
            spec.kind, spec.model, spec.scene.frame_size, self.stream_seed(Stream.WEIGHTS)
        )
        return model.to("cpu" if spec.device == "auto" else spec.device)

    def train(self, stop: Callable[[], bool] = lambda: False, until: int | None = None) -> bool:
        """Train up to a step and save a checkpoint; a frozen encoder only records and is calibrated.

        Args:
            stop: Called before every step; training ends early when it returns True.
            until: Step to train to; the end of the schedule by default.

        Returns:
            Whether that step was reached.

        Raises:
            TrainingError: The loss is not finite.
        """
        self.phase = "recording"
        finished = self.trainer.record(stop)
        if finished and self.trainer.step == 0:
            self.calibrate(self.model)
        if finished and not self.model.trains:
            self._skip_training()
        self.phase = "training"
        finished = finished and self.trainer.run(self._after_step, stop, until)
        if finished and self.trainer.finished and self.stage_steps is None:
            finished = self.further_encoders.find(stop)
        self.files.save_checkpoint()
        self.phase = "trained" if finished else "stopped"
        return finished

    @property
    def has_learned(self) -> bool:
        """Whether the schedule is complete, and the search for further encoders as well."""
        return self.trainer.finished and self.stage_steps is not None

    def encode_ticks(self, ticks: Iterable[int], model: WorldModel | None = None) -> Tensor:
        """Return latents of ticks, float32 [K, D], in the model's own axes.

        Frames come from the replay buffer where it holds them all, and are rendered otherwise.

        Args:
            ticks: K ticks, in any order.
            model: The model in training by default.
        """
        wanted = np.fromiter(ticks, dtype=np.int64)
        chunks = (wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK))
        return torch.cat([self._encode_chunk(chunk, model or self.model) for chunk in chunks])

    def encode_core(self, ticks: Sequence[int]) -> Tensor:
        """Return core latents of ticks by the published model, [K, core_dim].

        Raises:
            RuntimeError: Nothing is published.
        """
        known = self.known_model()
        return known.basis.core(self.encode_ticks(ticks, known.model))

    def known_model(self) -> PublishedModel:
        """Return the model that peers know, or raise RuntimeError if nothing is published."""
        if self.published is None:
            raise RuntimeError(f"{self.spec.name} has published no model yet: retry when it is ready")
        return self.published

    def find_axes(self) -> tuple[CoreBasis, Tensor]:
        """Return the core basis of the model in training, and the latents that it was chosen on, [N, 2, D].

        The axes are found on ticks of the replay buffer. How predictable each axis is, and which axes are the
        core, is measured on pairs of later ticks that neither training nor the axes saw, as far apart as
        anchors.
        """
        ticks = self.ticks.axes(self.trainer.replay_buffer.ticks)
        pairs = self.ticks.core_eval(self.trainer.seen_stop)
        trained, later = (self.encode_ticks(each.ravel()).unflatten(0, each.shape) for each in (ticks, pairs))
        return find_core(trained, later=later), later

    def publish(self) -> AgentSnapshot:
        """Find the core, encode the anchor pools, and make the newest model the one that peers know.

        Returns:
            What the agent publishes of itself.
        """
        if not (self.distill_frames and len(self.trainer.replay_buffer)):
            # a student has recorded what distillation needs, and records more later; a restored one has not
            self.trainer.record(lambda: False)
        self.phase = "embedding"
        began = time.perf_counter()  # `record` has counted its own time
        self.further_encoders.compose_again()
        self.basis, later = self.further_encoders.take_axes() or self.find_axes()
        self.further_encoders.forget()
        self.files.save_checkpoint()
        rank = effective_rank(later)
        self.collapse = self.explain_collapse(self.basis.core_dim)
        peer_info = PeerInfo(
            self.spec.name, self.anchor_scene.fingerprint, self.spec.kind, self.files.checkpoint,
            self.model.dim, self.basis.core_dim, bool(self.collapse),
        )  # fmt: skip
        pools, camera = self._anchor_pools(self.encode_ticks), self.public_camera
        public = None
        if camera is not None:
            public = self._anchor_pools(lambda ticks: camera.encode(self.model, ticks, self.on_progress))
        self.trainer.record_seconds += time.perf_counter() - began
        self.phase = "ready"
        losses = tuple(self.trainer.losses[-SNAPSHOT_LOSSES:])
        snapshot = AgentSnapshot(
            peer_info, self.basis.spectrum, self.basis.explained, self.basis.noise, rank, pools, losses,
            self.progress(), range(self.ticks.train_start, self.trainer.trained_stop), self.spec.pose_version,
            count_encoders(self.model), self.stage_steps or 0, public,
        )  # fmt: skip
        self.drift = 0.0
        self.set_published(PublishedModel(copy.deepcopy(self.model).eval(), self.basis, snapshot))
        self.files.save_published()
        return snapshot

    def explain_collapse(self, core_dim: int) -> str:
        """Return a clause that explains the collapse of the latents in training; "" if there is none.

        They are compared with those of the untrained model on the newest ticks of the replay buffer.

        Args:
            core_dim: Number of dimensions of its core.
        """
        untrained = self.build_model()
        self.calibrate(untrained)
        ticks = self.trainer.replay_buffer.ticks[-CHUNK:]
        return explain_collapse(self.encode_ticks(ticks), self.encode_ticks(ticks, untrained), core_dim)

    def move(self, pose: Pose, pose_version: int) -> None:
        """Move the camera: unpublish the model and start its training schedule again from its weights.

        Args:
            pose: Where the camera stands now.
            pose_version: Number of this pose, from 1.

        Raises:
            ValueError: That pose cannot see the scene; nothing changes.
        """
        self.scene.check_pose(pose)
        self.spec = replace(self.spec, pose=pose, pose_version=pose_version)
        self.basis = self.published = self.negotiation = None
        self.distill_frames, self.distill_losses = 0, []
        self.start_training()
        self.phase = "waiting"
        self.files.save_checkpoint()

    def set_body_events(self, events: Sequence[BodyEvent]) -> None:
        """Set which bodies stand in the scene from which tick on."""
        if tuple(events) != self.spec.events:
            self.spec = replace(self.spec, events=tuple(events))
            self.further_encoders.forget()
            self.recorder.scene = self.scene = Scene(self.spec.scene, self.spec.seed, self.spec.events)

    @property
    def has_seen_all_bodies(self) -> bool:
        """Whether every change of a body in the scene lies before the ticks of the replay buffer.

        A source of frames shows no bodies.
        """
        return self.scene.ticks is not None or all(
            event.tick <= self.trainer.replay_buffer.ticks.start for event in self.spec.events
        )

    def progress(self) -> Progress:
        """Return the agent's progress; safe to call from another thread."""
        trainer, config = self.trainer, self.spec.training
        batch = config.segments * config.segment_ticks * trainer.views
        speed = trainer.steps_this_process * batch / trainer.train_seconds if trainer.train_seconds else 0.0
        step, steps = (trainer.step, config.steps) if self.model.trains else (0, 0)
        known = speed and self.phase != STAGES  # how many stages there will be, the first one decides
        left = max(0, config.steps - trainer.step) * batch / speed if known else math.nan
        loss = trainer.losses[-1] if trainer.losses else math.nan
        frames = trainer.frames + (self.stage_steps or 0) * batch
        return Progress(
            self.spec.name, self.phase, step, steps, len(trainer.replay_buffer),
            trainer.seen_stop, frames, loss, speed, left, trainer.record_seconds,
            trainer.train_seconds, self.spec.device, self.drift, self.files.saved_at, self.distill_frames,
            trainer.loss_curve.points(), LossCurve(0, list(self.distill_losses)).points(),
        )  # fmt: skip

    def stream_seed(self, stream: Stream, *more: int) -> tuple[int, ...]:
        """Return the seed of one of this agent's random streams, see `agents.common.streams.stream_seed`."""
        return stream_seed(self.spec.seed, self.spec.index, stream, *more)

    def owner(self) -> dict[str, object]:
        """Return the facts that a file must state to be this agent's."""
        return {"name": self.spec.name, "kind": self.spec.kind, "scene": self.scene.fingerprint}

    def close(self) -> None:
        """Give up the renderer, which is freed with the last agent of this process."""
        self.renderer.close()

    def start_training(self) -> None:
        """Set up recording and training at step 0 of this pose version's schedule."""
        spec = self.spec
        self.recorder = SensorRecorder(
            self.scene, self.renderer, spec.pose, spec.name, spec.model.sensor_spec_of(spec.kind),
            self.stream_seed(Stream.VIEWS),
        )  # fmt: skip
        self.stage_steps = None
        self.further_encoders.forget()
        drop_stages(self.model)
        moved = (spec.pose_version,) if spec.pose_version else ()
        seed = self.stream_seed(Stream.BATCHES, *moved)
        public = spec.negotiation.public_seed
        self.public_camera = None if public is None else PublicCamera(spec, public, self.renderer)
        stop = None if self.scene.ticks is None else self.ticks.record_stop(self.scene.ticks)
        # after a move its buffer is used again: the disk may have no room for a second one beside it
        earlier = getattr(self, "trainer", None)
        storage = earlier.replay_buffer.storage if earlier else None
        self.trainer = Trainer(
            self.model, self.recorder, self.ticks.train_start, spec.training, seed, stop, storage
        )

    def calibrate(self, model: WorldModel) -> None:
        """Calibrate a model on ticks of the replay buffer, the same ones at every call."""
        rng = np.random.default_rng(self.stream_seed(Stream.CALIBRATION))
        ticks = self.trainer.replay_buffer.draw(rng, 2 * CHUNK, 1)[:, 0]
        model.calibrate(torch.from_numpy(self.trainer.replay_buffer.read(ticks)))

    def set_published(self, published: PublishedModel) -> None:
        """Make a model the one that peers know, and begin to negotiate with it."""
        self.published = published
        rng = np.random.default_rng(self.stream_seed(Stream.NONCES))
        snapshot = published.snapshot
        self.negotiation = Negotiation(
            snapshot.peer_info, snapshot.sent, self.spec.negotiation, rng, self.ticks.memory_rows
        )

    def _encode_published(self) -> bytes | None:
        """Return the content of the published model's file; None while nothing is published."""
        return None if self.published is None else self.published.encode(self.owner())

    def _skip_training(self) -> None:
        """Count the schedule as done: a frozen encoder has nothing to train."""
        self.trainer.step = self.trainer.steps_replaced_by_distillation = self.spec.training.steps
        self.stage_steps = 0

    def read_frames(self, ticks: np.ndarray) -> Tensor:
        """Return frames uint8 [K, H, W, C], of the replay buffer where it holds them all, else rendered."""
        self.on_progress()
        if self.trainer.replay_buffer.holds(ticks):
            return torch.from_numpy(self.trainer.replay_buffer.read(ticks))
        frames = self.further_encoders.take_frames(ticks)
        return torch.from_numpy(self.recorder.record(ticks).frames) if frames is None else frames

    def _after_step(self) -> None:
        if len(self.trainer.losses) > 2 * SAVED_LOSSES:
            del self.trainer.losses[:-SAVED_LOSSES]
        if self.trainer.step % self.spec.training.checkpoint_every == 0:
            self.files.save_checkpoint()
        self.files.retry()
        self.on_step()

    @torch.inference_mode()
    def _encode_chunk(self, ticks: np.ndarray, model: WorldModel) -> Tensor:
        frames = self.read_frames(ticks)
        model.eval()
        return encode_with(model, frames, self.recorder.sensor_data(ticks)).cpu()

    def _anchor_pools(self, encode: Callable[[range], Tensor]) -> AnchorPools:
        """Return embeddings of both pools of ticks, with latents [K, D] by `encode`."""
        basis = self.basis
        assert basis is not None
        fit, heldout = (
            AnchorSet(tuple(ticks), basis(encode(ticks)).to(torch.float32), basis.core_dim)
            for ticks in (self.ticks.fit, self.ticks.heldout)
        )
        metric = raw_metric(basis.transform) if self.spec.model.fixes_scale(self.spec.kind) else None
        return AnchorPools(fit, heldout, metric)

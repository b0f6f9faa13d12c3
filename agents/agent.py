"""One agent: a camera, a world model, a memory of anchors, and a voice. It knows no Ray."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.checkpoint import (
    check_owner,
    load_model,
    load_optimiser,
    optimiser_tensors,
    read_checkpoint,
    write_checkpoint,
)
from agents.edge import Card, Pools
from agents.kinds import build_world_model
from agents.negotiation import Negotiation
from agents.settings import ModelConfig, NegotiationConfig, TrainingConfig, stretches
from agents.training import Trainer
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis, autocorrelations, core_gap, effective_rank, find_core
from env.camera import Pose
from env.recording import Recorder
from env.renderer import build_renderer
from env.scene import BodyEvent, Scene, SceneConfig

CHUNK = 512  # frames rendered and embedded at a time
BASIS_TICKS = 16384  # trained ticks that the axes of the core are found on; with 2048 they cost 3 % of its R2
BASIS_TENSORS = ("mean", "transform", "spectrum")
COLLAPSED_RANK = 1.5  # effective dimensions below which an encoder says one thing only
GAP = 256  # least ticks between stretches; more where the scene remembers longer


@dataclass(frozen=True)
class AgentSpec:
    """Everything that makes an agent; equal specs give equal agents in every process.

    Attributes:
        index: Number of the agent; its randomness comes from (seed, index) alone.
        pose: Where its camera stands.
        events: Bodies in the scene: those of its peers.
        folder: Where its checkpoint lives, on the machine where the agent runs.
        device: torch device.
        threads: CPU threads that torch may use.
    """

    name: str
    index: int
    seed: int
    kind: str
    pose: Pose
    scene: SceneConfig
    events: tuple[BodyEvent, ...]
    model: ModelConfig
    training: TrainingConfig
    negotiation: NegotiationConfig
    folder: str
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Progress:
    """How an agent is doing, for people to watch."""

    name: str
    phase: str  # waiting, recording, training, embedding, ready, stopped
    step: int
    steps: int
    recorded: int  # ticks in its window
    frames: int  # read by training
    loss: float
    frames_per_s: float  # frames that training reads in a second of training time
    seconds_left: float
    record_seconds: float
    train_seconds: float
    device: str


@dataclass(frozen=True)
class Memory:
    """What an agent tells the person who watches: its space, never its weights.

    Attributes:
        spectrum: Lag-1 autocorrelations of its dimensions on ticks that training and basis never saw, [D].
        pools: What it makes of the ticks that may be compared.
    """

    card: Card
    spectrum: Tensor
    effective_rank: float
    pools: Pools
    losses: tuple[float, ...]
    progress: Progress


class Agent:
    """One agent. Build it where it will live: its renderer belongs to the thread that first uses it."""

    def __init__(self, spec: AgentSpec) -> None:
        """Build the scene, the camera and an untrained model."""
        self.spec = spec
        self.scene = Scene(spec.scene, spec.seed, spec.events)
        self.scene.check_pose(spec.pose)
        self._gap = max(GAP, spec.scene.memory)
        self.held_ticks, self.fit_ticks, first = stretches(spec.negotiation, self._gap)
        self.recorder = Recorder(self.scene, build_renderer(spec.scene), spec.pose, spec.name)
        self.model = build_world_model(
            spec.kind, spec.model, spec.scene.frame_size, (spec.seed, spec.index, 0)
        )
        self.model.to("cpu" if spec.device == "auto" else spec.device)
        self.trainer = Trainer(self.model, self.recorder, first, spec.training, (spec.seed, spec.index, 1))
        self.phase = "waiting"
        self.basis: CoreBasis | None = None
        self.checkpoint = ""
        self.negotiation: Negotiation | None = None

    @property
    def path(self) -> Path:
        """Where its checkpoint lives."""
        return Path(self.spec.folder) / "checkpoint.safetensors"

    def train(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the last step or until asked to stop, saving now and then; return whether it is done."""
        self.phase = "recording"
        finished = self.trainer.record(stop)
        if finished and self.trainer.step == 0:
            rng = np.random.default_rng([self.spec.seed, self.spec.index, 3])
            self.model.calibrate(torch.from_numpy(self.trainer.window.segments(rng, 2 * CHUNK, 1)[:, 0]))
        self.phase = "training"
        finished = finished and self.trainer.run(self._after_step, stop)
        self.save()
        self.phase = "trained" if finished else "stopped"
        return finished

    def _after_step(self) -> None:
        if self.trainer.step % self.spec.training.checkpoint_every == 0:
            self.save()

    def embed_ticks(self, ticks: Iterable[int]) -> Tensor:
        """Return what the model makes of these ticks, float32 [K, D], in the model's own raw axes."""
        wanted = np.fromiter(ticks, dtype=np.int64)
        chunks = (wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK))
        return torch.cat([self.embed_frames(self.recorder.record(chunk).frames) for chunk in chunks])

    @torch.inference_mode()
    def embed_frames(self, frames: np.ndarray) -> Tensor:
        """Return what the model makes of these frames, uint8 [K, H, W, C] -> float32 [K, D]."""
        self.model.eval()
        return self.model.embed(torch.from_numpy(frames)).cpu()

    def settle(self) -> Memory:
        """Find the predictable core, embed the ticks that may be compared, and get ready to talk.

        The core is found by this agent alone. Its axes come from the newest ticks that it trained on, of
        which there are many; how predictable each axis is, and so where the core ends, from later ticks
        that neither training nor the axes saw.
        """
        self.phase = "embedding"
        self.trainer.record(lambda: False)
        began = time.perf_counter()  # recording has counted its own time
        seen = self.trainer.window.ticks
        basis = find_core(torch.cat([
            self.embed_frames(self.trainer.window.read(range(first, min(first + CHUNK, seen.stop))))
            for first in range(max(seen.start, seen.stop - BASIS_TICKS), seen.stop, CHUNK)
        ]))  # fmt: skip
        first = seen.stop + self._gap
        later = self.embed_ticks(range(first, first + self.spec.training.calibration))
        spectrum = autocorrelations(later, basis)
        order = spectrum.argsort(descending=True)  # as later ticks rank the axes, not those that chose them
        spectrum = spectrum[order]
        self.basis = CoreBasis(basis.mean, basis.transform[:, order], spectrum, core_gap(spectrum))
        rank = effective_rank(later)
        self.save()
        card = Card(
            self.spec.name, self.scene.fingerprint, self.spec.kind, self.checkpoint, self.model.dim,
            self.basis.core_dim, self.basis.core_dim == 0 or rank < min(COLLAPSED_RANK, self.model.dim),
        )  # fmt: skip
        pools = Pools(self._anchors(self.fit_ticks), self._anchors(self.held_ticks))
        rng = np.random.default_rng([self.spec.seed, self.spec.index, 2])
        self.negotiation = Negotiation(card, pools, self.spec.negotiation, rng)
        self.trainer.record_seconds += time.perf_counter() - began
        self.phase = "ready"
        return Memory(card, spectrum, rank, pools, tuple(self.trainer.losses), self.progress())

    def _anchors(self, ticks: range) -> AnchorSet:
        assert self.basis is not None
        vectors = self.basis(self.embed_ticks(ticks)).to(torch.float32)
        return AnchorSet(tuple(ticks), vectors, self.basis.core_dim)

    def progress(self) -> Progress:
        """Return how it is doing; safe to call from another thread."""
        trainer, config = self.trainer, self.spec.training
        batch = config.segments * config.length
        speed = trainer.taken * batch / trainer.train_seconds if trainer.train_seconds else 0.0
        left = (config.steps - trainer.step) * batch / speed if speed else math.nan
        loss = trainer.losses[-1] if trainer.losses else math.nan
        return Progress(
            self.spec.name, self.phase, trainer.step, config.steps, len(trainer.window), trainer.frames,
            loss, speed, left, trainer.record_seconds, trainer.train_seconds, self.spec.device,
        )  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint: model, optimiser, basis and where it is."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= optimiser_tensors(self.trainer.optimiser)
        if self.basis is not None:
            tensors |= {f"basis.{name}": getattr(self.basis, name) for name in BASIS_TENSORS}
        facts = self._owner() | {
            "step": self.trainer.step, "core_dim": self.basis.core_dim if self.basis else None,
            "losses": self.trainer.losses, "frames": self.trainer.frames,
        }  # fmt: skip
        self.checkpoint = write_checkpoint(self.path, tensors, facts)

    def load(self) -> None:
        """Go on from the checkpoint in the agent's folder.

        Raises:
            CheckpointError: It is missing, damaged, or of another agent, scene or size of model.
        """
        tensors, facts, version = read_checkpoint(self.path)
        check_owner(self.path, facts, self._owner())
        load_model(self.path, self.model, tensors)
        self.checkpoint = version
        load_optimiser(self.trainer.optimiser, tensors)
        self.trainer.step = int(facts["step"])
        self.trainer.losses = list(facts["losses"])
        if "basis.mean" in tensors:
            found = {name: tensors[f"basis.{name}"] for name in BASIS_TENSORS}
            self.basis = CoreBasis(**found, core_dim=int(facts["core_dim"]))

    def _owner(self) -> dict[str, Any]:
        return {"name": self.spec.name, "kind": self.spec.kind, "scene": self.scene.fingerprint}

    def close(self) -> None:
        """Free the renderer."""
        self.recorder.renderer.close()

"""One agent: it learns, and makes public what it has learned. It knows no Ray and no peer."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agents.learner import Learner
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.negotiation import Negotiation
from agents.settings import DRIFT_TICKS
from agents.snapshot import AgentSnapshot, PublishedModel
from agents.spec import AgentSpec
from agents.training.checkpoint import CheckpointError
from alignment.anchors import AnchorSet
from alignment.core import CoreBasis, autocorrelations, core_gap, effective_rank, find_core
from alignment.fit import fit_ridge
from alignment.score import r2
from env.camera import Pose

BASIS_TICKS = 16384  # trained ticks that the axes of the core are found on; with 2048 they cost 3 % of its R2
COLLAPSED_RANK = 1.5  # effective dimensions below which an encoder says one thing only
TOLD_LOSSES = 2000  # newest losses that are told; an agent may learn for weeks


class Agent(Learner):
    """One agent: what it learns with is its own affair; what it published is what its peers know.

    Attributes:
        published: The model that peers know; None before the first and after the camera moved.
        negotiation: This agent's side of the talk about it.
    """

    def __init__(self, spec: AgentSpec) -> None:
        """Build the scene, the camera and an untrained model."""
        super().__init__(spec)
        self.published: PublishedModel | None = None
        self.negotiation: Negotiation | None = None

    @property
    def published_path(self) -> Path:
        """Where the model that peers know lives."""
        return Path(self.spec.folder) / "published.safetensors"

    def publish(self) -> AgentSnapshot:
        """Find the predictable core, embed the ticks that may be compared, and get ready to talk.

        The core is found by this agent alone. Its axes come from the newest ticks that it trained on, of
        which there are many; how predictable each axis is, and so where the core ends, from later ticks
        that neither training nor the axes saw.
        """
        if not self.distill_frames:  # a newcomer that is taught records what it needs, and the rest later
            self.trainer.record(lambda: False)
        self.phase = "embedding"
        began = time.perf_counter()  # recording has counted its own time
        seen = self.trainer.replay_buffer.ticks
        self.basis, later = self.find_axes(range(max(seen.start, seen.stop - BASIS_TICKS), seen.stop))
        rank = effective_rank(later)
        self.save()
        card = PeerInfo(
            self.spec.name, self.scene.fingerprint, self.spec.kind, self.checkpoint, self.model.dim,
            self.basis.core_dim, self.basis.core_dim == 0 or rank < min(COLLAPSED_RANK, self.model.dim),
        )  # fmt: skip
        pools = AnchorPools(self._anchor_set(self.fit_ticks), self._anchor_set(self.held_ticks))
        self.trainer.record_seconds += time.perf_counter() - began
        self.phase = "ready"
        losses = tuple(self.trainer.losses[-TOLD_LOSSES:])
        memory = AgentSnapshot(
            card, self.basis.spectrum, rank, pools, losses, self.progress(), self.spec.pose_version
        )
        self.drift = 0.0
        self._set_published(PublishedModel(copy.deepcopy(self.model).eval(), self.basis, memory))
        self.published.save(self.published_path, self.owner())  # type: ignore[union-attr]
        return memory

    def find_axes(self, ticks: range) -> tuple[CoreBasis, Tensor]:
        """Return the axes that ticks choose, as later ticks rank them, and what it makes of those, [T, D].

        How predictable each axis is, and so where the core ends, later ticks tell and not those that chose
        the axes.
        """
        basis = find_core(self.encode_ticks(ticks))
        first = ticks.stop + self.gap
        later = self.encode_ticks(range(first, first + self.spec.training.core_eval_ticks))
        spectrum = autocorrelations(later, basis)
        order = spectrum.argsort(descending=True)
        spectrum = spectrum[order]
        return CoreBasis(basis.mean, basis.transform[:, order], spectrum, core_gap(spectrum)), later

    def _set_published(self, published: PublishedModel) -> None:
        self.published = published
        rng = np.random.default_rng([self.spec.seed, self.spec.index, 2])
        memory = published.snapshot
        self.negotiation = Negotiation(memory.peer_info, memory.pools, self.spec.negotiation, rng)

    def _anchor_set(self, ticks: range) -> AnchorSet:
        assert self.basis is not None
        vectors = self.basis(self.encode_ticks(ticks)).to(torch.float32)
        return AnchorSet(tuple(ticks), vectors, self.basis.core_dim)

    def measure_drift(self) -> float:
        """Return how far the newest model has left what peers know, as a share of variance.

        A linear reading of the published core from the newest code is fitted on the anchors that maps are
        fitted on, and scored on fresh ones: ticks that no model of this agent has seen.
        """
        assert self.published is not None
        known = self.published.snapshot.pools.anchors
        reading = fit_ridge(self.encode_ticks(known.ids), known.core())
        spacing = self.spec.negotiation.pool_stride
        first = self.trainer.replay_buffer.ticks.stop + self.gap
        fresh = range(first, first + DRIFT_TICKS * spacing, spacing)
        self.drift = 1 - r2(reading(self.encode_ticks(fresh)), self.encode_core(fresh))
        return self.drift

    def encode_core(self, ticks: Sequence[int]) -> Tensor:
        """Return the core codes of ticks by the published model, [K, core_dim].

        Raises:
            RuntimeError: Nothing is published.
        """
        if self.published is None:
            raise RuntimeError(f"{self.spec.name} has not learned its view yet: ask again when it is ready")
        return self.published.basis.core(self.encode_ticks(ticks, self.published.model))

    def distill_targets(self, ticks: int) -> tuple[int, Tensor]:
        """Return (first tick, core codes [K, core_dim]) of as many consecutive ticks that score no map."""
        assert self.published is not None
        codes = self.encode_ticks(range(self.first, self.first + ticks), self.published.model)
        return self.first, self.published.basis.core(codes).float()

    def move(self, pose: Pose, pose_version: int) -> None:
        """Turn the camera to another view; what was public no longer holds, and another course begins.

        Raises:
            ValueError: A camera cannot stand there.
        """
        super().move(pose, pose_version)
        self.published = self.negotiation = None

    def load(self) -> None:
        """Go on from the files in the agent's folder.

        Raises:
            CheckpointError: The checkpoint is missing, damaged, or of another agent, scene or size of model.
        """
        super().load()
        if self.published_path.exists() and self.basis is not None:
            try:
                published = PublishedModel.load(self.published_path, self.owner(), self.build_model)
            except CheckpointError:
                return  # nothing is lost: what it has learned is published anew
            if published.snapshot.pose_version == self.spec.pose_version:
                self._set_published(published)

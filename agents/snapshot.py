"""What an agent has published of itself: the model that its anchors came from, and those anchors.

An online agent keeps two models: the one in training, and the published one that its peers negotiated with.
Only the published one answers queries, so that a map keeps its meaning while the agent trains on.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from agents.models.world_model import WorldModel
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.spec import Progress
from agents.training.checkpoint import (
    CheckpointError,
    DamagedCheckpointError,
    check_owner,
    encode_checkpoint,
    load_model,
    model_tensors,
    read_checkpoint,
)
from alignment.core import CoreBasis

PUBLIC = "public."  # before the names of tensors of a public scene
BASIS_FIELDS = ("mean", "transform", "spectrum", "explained")


@dataclass(frozen=True)
class AgentSnapshot:
    """What an agent reports of its published model: its latent space, never its weights.

    Attributes:
        peer_info: What peers know of the agent.
        spectrum: [D], lag-1 autocorrelations of its dimensions on ticks that neither training nor the core's
            axes saw; the core was chosen on them.
        explained: [D], share of each dimension that the core dimensions before it explain.
        noise: Autocorrelation at or below which a dimension counts as noise.
        effective_rank: Dimensions that its latents use, see `alignment.core.effective_rank`.
        pools: Embeddings of the ticks that maps may be fitted and scored on.
        public: The same of a public scene, where peers get only those.
        losses: The newest training losses, one a step.
        progress: How training stood.
        trained_ticks: Ticks that training of this view may have read.
        pose_version: How many times its camera had moved.
        encoders: Encoders that its latent is composed of, see `agents.models.stages`.
        stage_steps: Optimizer steps of further encoders, including one that found nothing.
    """

    peer_info: PeerInfo
    spectrum: Tensor
    explained: Tensor
    noise: float
    effective_rank: float
    pools: AnchorPools
    losses: tuple[float, ...]
    progress: Progress
    trained_ticks: range
    pose_version: int = 0
    encoders: int = 1
    stage_steps: int = 0
    public: AnchorPools | None = None

    @property
    def sent(self) -> AnchorPools:
        """The embeddings that peers may get and that maps are fitted and scored on."""
        return self.public or self.pools


@dataclass(frozen=True)
class PublishedModel:
    """The model that peers know.

    Attributes:
        model: The world model, in evaluation mode.
        basis: Axes of its core.
        snapshot: What the agent reports of it.
    """

    model: WorldModel
    basis: CoreBasis
    snapshot: AgentSnapshot

    def encode(self, owner: Mapping[str, object]) -> bytes:
        """Return the content of its file.

        Args:
            owner: Facts that say whose model it is, which `load` compares.
        """
        snapshot = self.snapshot
        tensors = model_tensors(self.model) | basis_tensors(self.basis) | snapshot.pools.tensors()
        if snapshot.public is not None:
            tensors |= {f"{PUBLIC}{name}": tensor for name, tensor in snapshot.public.tensors().items()}
        facts = dict(owner) | {
            "peer_info": asdict(snapshot.peer_info),
            "effective_rank": snapshot.effective_rank,
            "losses": snapshot.losses,
            "progress": snapshot.progress.as_plain(),
            "trained_ticks": [snapshot.trained_ticks.start, snapshot.trained_ticks.stop],
            "pose_version": snapshot.pose_version, "encoders": snapshot.encoders,
            "stage_steps": snapshot.stage_steps,
        }  # fmt: skip
        return encode_checkpoint(tensors, facts)

    @classmethod
    def load(
        cls, path: Path, owner: Mapping[str, object], build: Callable[[], WorldModel]
    ) -> "PublishedModel":
        """Read a file with the content of `encode`.

        Args:
            path: File to read.
            owner: Facts that the file must state.
            build: Returns an untrained model, whose weights are then replaced.

        Raises:
            CheckpointError: It is missing, damaged, or of another agent, scene or model size.
        """
        tensors, facts, _ = read_checkpoint(path)
        check_owner(path, facts, owner)
        model = build()
        load_model(path, model, tensors)
        try:
            peer_info = PeerInfo(**facts["peer_info"])
            basis = basis_from_tensors(tensors, peer_info.core_dim)
            snapshot = AgentSnapshot(
                peer_info=peer_info,
                spectrum=basis.spectrum,
                explained=basis.explained,
                noise=basis.noise,
                effective_rank=float(facts["effective_rank"]),
                pools=AnchorPools.from_tensors(tensors, peer_info.core_dim),
                losses=tuple(facts["losses"]),
                progress=Progress.from_plain(facts["progress"]),
                trained_ticks=range(*facts["trained_ticks"]),
                pose_version=int(facts["pose_version"]),
                encoders=int(facts["encoders"]),
                stage_steps=int(facts["stage_steps"]),
                public=_public_pools(tensors, peer_info.core_dim),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedCheckpointError(path, f"is damaged ({error})") from error
        return cls(model.eval(), basis, snapshot)


def _public_pools(tensors: Mapping[str, Tensor], core_dim: int) -> AnchorPools | None:
    """Return the pools of a public scene among named tensors; None where there are none."""
    found = {name.removeprefix(PUBLIC): each for name, each in tensors.items() if name.startswith(PUBLIC)}
    return AnchorPools.from_tensors(found, core_dim) if found else None


def load_encoder(
    path: Path, version: str, owner: Mapping[str, object], build: Callable[[], WorldModel]
) -> tuple[WorldModel, CoreBasis]:
    """Return the model in evaluation mode and the core basis of an agent's own checkpoint.

    Args:
        path: File to read.
        version: Hash that the file must have.
        owner: Facts that the file must state.
        build: Returns an untrained model, whose weights are then replaced.

    Raises:
        CheckpointError: It is missing, damaged, or another version or model.
    """
    tensors, facts, found = read_checkpoint(path)
    if found != version:
        raise CheckpointError(path, f"is version {found}, not {version}")
    check_owner(path, facts, owner)
    model = build()
    load_model(path, model, tensors)
    try:
        return model.eval(), basis_from_tensors(tensors, int(facts["core_dim"]))
    except (KeyError, TypeError) as error:
        raise CheckpointError(path, f"holds no core basis ({error})") from error


def basis_tensors(basis: CoreBasis) -> dict[str, Tensor]:
    """Return a basis as named tensors: ``basis.mean``, ``basis.transform`` and so on."""
    tensors = {f"basis.{name}": getattr(basis, name) for name in BASIS_FIELDS}
    return tensors | {"basis.noise": basis.mean.new_tensor([basis.noise])}


def basis_from_tensors(tensors: Mapping[str, Tensor], core_dim: int) -> CoreBasis:
    """Return the basis that `basis_tensors` named.

    Raises:
        KeyError: One of its tensors is missing.
    """
    fields = {name: tensors[f"basis.{name}"] for name in BASIS_FIELDS}
    return CoreBasis(**fields, core_dim=core_dim, noise=float(tensors["basis.noise"]))

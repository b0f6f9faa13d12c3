"""What an agent has made public of itself: the model that its anchors came from, and those anchors.

An agent that goes on learning keeps two models: the one it learns with, and the published one that its peers
negotiated with. Only the published one speaks, so that a map means what it meant when it was fitted.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from agents.models.world_model import WorldModel
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.spec import Progress
from agents.training.checkpoint import (
    CheckpointError,
    check_owner,
    load_model,
    read_checkpoint,
    write_checkpoint,
)
from alignment.core import CoreBasis

BASIS_TENSORS = ("mean", "transform", "spectrum")


@dataclass(frozen=True)
class AgentSnapshot:
    """What an agent tells the person who watches: its space, never its weights.

    Attributes:
        spectrum: Lag-1 autocorrelations of its dimensions on ticks that training and basis never saw, [D].
        pools: What it makes of the ticks that may be compared.
        era: How many times its camera had moved.
    """

    peer_info: PeerInfo
    spectrum: Tensor
    effective_rank: float
    pools: AnchorPools
    losses: tuple[float, ...]
    progress: Progress
    pose_version: int = 0


@dataclass(frozen=True)
class PublishedModel:
    """The model that peers know, and what they know of it."""

    model: WorldModel
    basis: CoreBasis
    snapshot: AgentSnapshot

    def save(self, path: Path, owner: dict[str, object]) -> None:
        """Write it whole or not at all."""
        memory = self.snapshot
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"basis.{name}": getattr(self.basis, name) for name in BASIS_TENSORS}
        tensors |= memory.pools.tensors()
        facts = owner | {
            "peer_info": asdict(memory.peer_info),
            "effective_rank": memory.effective_rank,
            "losses": memory.losses,
            "progress": memory.progress.as_plain(),
            "pose_version": memory.pose_version,
        }
        write_checkpoint(path, tensors, facts)

    @classmethod
    def load(cls, path: Path, owner: dict[str, object], build: Callable[[], WorldModel]) -> "PublishedModel":
        """Read what `save` wrote into a model that `build` makes.

        Raises:
            CheckpointError: It is missing, damaged, or of another agent, scene or size of model.
        """
        tensors, facts, _ = read_checkpoint(path)
        check_owner(path, facts, owner)
        model = build()
        load_model(path, model, tensors)
        try:
            card = PeerInfo(**facts["peer_info"])
            found = {name: tensors[f"basis.{name}"] for name in BASIS_TENSORS}
            pools = AnchorPools.from_tensors(tensors, card.core_dim)
            memory = AgentSnapshot(
                card, found["spectrum"], float(facts["effective_rank"]), pools, tuple(facts["losses"]),
                Progress.from_plain(facts["progress"]), int(facts["pose_version"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged ({error}): delete it and train again") from error
        model.eval()
        return cls(model, CoreBasis(**found, core_dim=card.core_dim), memory)

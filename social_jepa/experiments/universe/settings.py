"""Settings of the experiment universe."""

from dataclasses import dataclass, field

from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from env.camera import RingConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


class UniverseStream(Stream):
    """Random streams of the experiment."""

    PAIRS = 51  # choices of the pairs
    SHUFFLED = 52  # which rows of all agents are shuffled
    PATHS = 53  # composed paths and cycles
    CORRUPTED = 54  # which rows of a few agents are shuffled


def _default_setup() -> AgentSetup:
    return AgentSetup(
        scene=SceneConfig(renderer="toy", objects=2, frame_size=48, bodies=False),  # 64 bodies would hide all
        ring=RingConfig(separation=137.5),  # the golden angle: the first agents stand far apart too
        model=ModelConfig(dim=12, width=16, hidden=128),
        training=TrainingConfig(
            steps=450, segments=48, learning_rate=3e-3, replay_ticks=16_384, own_ticks=True
        ),
        negotiation=NegotiationConfig(anchors=256, heldout=512),
    )


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)
    agent_counts: tuple[int, ...] = (4, 8, 16, 32, 64)  # agents that take part
    few: int = 16  # agents of composed paths, numbers of pairs, shuffled rows and baselines
    pair_counts: tuple[int, ...] = (8, 16, 64, 256)  # pairs that maps of a few agents are fitted on
    pairs: int = 64  # pairs of all other maps
    hops: tuple[int, ...] = (1, 2, 4, 8, 14)  # agents between the ends of a composed path
    shuffled_shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)  # of the rows of each of the few agents
    shuffled_pair_counts: tuple[int, ...] = (64, 1024)  # pairs of the conditions with shuffled rows
    group_size: int = 10  # agents of the group in which some agents are corrupted
    corrupted_agents: int = 3  # of the group; the last ones
    corrupted_share: float = 0.75  # of the rows of a corrupted agent, shuffled
    keep: float = 0.5  # share of the rows that a trimmed fit trusts
    draws: int = 2  # choices of the pairs
    cycles: int = 20  # random orders of the agents

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for settings that cannot be run."""
        if min(self.agent_counts) < 3 or list(self.agent_counts) != sorted(set(self.agent_counts)):
            raise ValueError(f"agent_counts={self.agent_counts} must be increasing and at least 3")
        if self.few not in self.agent_counts:
            raise ValueError(f"few={self.few} must be one of agent_counts={self.agent_counts}")
        if self.pairs not in self.pair_counts:
            raise ValueError(f"pairs={self.pairs} must be one of pair_counts={self.pair_counts}")
        if not 1 <= min(self.hops) <= max(self.hops) <= self.few - 2:
            raise ValueError(
                f"hops={self.hops} must lie from 1 to {self.few - 2}, the number of other agents"
            )
        if self.draws < 1 or self.cycles < 1:
            raise ValueError(f"draws={self.draws} and cycles={self.cycles} must be at least 1")
        self._check_shuffles()
        pool = self.setup.negotiation.pool_ticks
        for name in ("pair_counts", "shuffled_pair_counts"):
            counts = getattr(self, name)
            if not 2 <= min(counts) <= max(counts) <= pool:
                raise ValueError(f"{name}={counts} must lie from 2 to setup.negotiation.pool_ticks={pool}")

    def _check_shuffles(self) -> None:
        """Raise ValueError for shares outside 0 to 1, or if too few agents are intact or corrupted."""
        if not all(0 <= share <= 1 for share in self.shuffled_shares):
            raise ValueError(f"shuffled_shares={self.shuffled_shares} must lie from 0 to 1")
        if not 0 < self.keep < 1:
            raise ValueError(f"keep={self.keep} must lie between 0 and 1")
        if not 0 <= self.corrupted_share <= 1:
            raise ValueError(f"corrupted_share={self.corrupted_share} must lie from 0 to 1")
        if not 2 <= self.corrupted_agents <= self.group_size - 2 <= self.few - 2:
            raise ValueError(
                f"corrupted_agents={self.corrupted_agents} of group_size={self.group_size}: at least two "
                f"agents must be corrupted and two intact, and the group has at most few={self.few} agents"
            )

    @property
    def max_agents(self) -> int:
        """Number of agents that are trained."""
        return self.agent_counts[-1]

    @property
    def factors(self) -> int:
        """Number of factors of the scene, two for each object."""
        return 2 * self.setup.scene.objects


QUICK = {
    "setup": QUICK_SETUP | {  # longer training than QUICK_SETUP, so that all cores have the same size
        "model": {"dim": 4, "width": 8, "hidden": 64},
        "training": QUICK_SETUP["training"] | {"steps": 250, "replay_ticks": 4096, "learning_rate": 5e-3},
    },
    "agent_counts": (3, 4, 6), "few": 6, "hops": (1, 2, 4), "pair_counts": (8, 64),
    "shuffled_pair_counts": (64, 256), "group_size": 6, "corrupted_agents": 2, "draws": 2, "cycles": 5,
}  # fmt: skip

"""Settings and random streams of the theory experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

EVAL_STEPS = (0, 10, 30, 100, 300)  # training steps after which encoders are evaluated, besides the last


class TheoryStream(Stream):
    """Random streams of the experiment; those of an encoder follow the seed and the agent's index."""

    OBSERVATION = 1
    WEIGHTS = 2
    BATCHES = 3
    SYMMETRY_WORLD = 11
    SYMMETRY_HELDOUT = 12
    SYMMETRY_MATRICES = 13
    SYMMETRY_PREDICTOR = 14
    SCENE_NULL = 21
    WORLD = 101
    HELDOUT = 102
    NULL = 103


@dataclass(frozen=True)
class EncoderSettings:
    """How the agents of the synthetic worlds observe and train."""

    factors: int = 3  # n, factors of the world and outputs of an encoder
    observation_dim: int = 12
    observation_layers: int = 3
    hidden: int = 64  # units of each of the two hidden layers of an encoder
    batch_pairs: int = 512  # pairs of successive states per training step, freshly drawn
    steps: int = 1000
    learning_rate: float = 1e-2

    @property
    def eval_steps(self) -> tuple[int, ...]:
        """Training steps after which encoders are evaluated."""
        return (*(step for step in EVAL_STEPS if step < self.steps), self.steps)


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    rhos: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 0.95)
    outside_worlds: tuple[str, ...] = ("uniform", "heavy-tailed", "bouncing")
    outside_rho: float = 0.7  # of those worlds outside the theory that have such a parameter
    agents: int = 3
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    fit_states: int = 20_000  # states that latents are whitened and maps are fitted on
    heldout_states: int = 10_000
    setup: AgentSetup = field(default_factory=AgentSetup)  # of the scene
    cameras: int = 4
    scene_ticks: int = 2048  # consecutive ticks of the scene that are scored

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, where the theory makes no statement."""
        if not all(0 < rho < 1 for rho in (*self.rhos, self.outside_rho)):
            raise ValueError(f"rhos={self.rhos} and outside_rho={self.outside_rho} must lie between 0 and 1")
        if self.agents < 2 or self.cameras < 2:
            raise ValueError(
                f"agents={self.agents} and cameras={self.cameras}: a pair needs at least two agents"
            )

    @property
    def theory_conditions(self) -> list[str]:
        """Conditions in which the assumptions of the theory hold."""
        return [f"rho {rho:g}" for rho in self.rhos]

    @property
    def nearest_condition(self) -> str:
        """The theory condition whose rho is nearest to outside_rho."""
        return min(
            self.theory_conditions,
            key=lambda condition: abs(float(condition.removeprefix("rho ")) - self.outside_rho),
        )


QUICK: Mapping[str, Any] = {
    "encoder": {"steps": 150, "hidden": 32, "batch_pairs": 256}, "fit_states": 4000, "heldout_states": 4000,
    "setup": QUICK_SETUP, "cameras": 3, "scene_ticks": 512,
}  # fmt: skip

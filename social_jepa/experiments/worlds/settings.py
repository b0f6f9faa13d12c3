"""Settings of the experiment worlds, and the table of its worlds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agents.protocol.settings import MEMORIES
from agents.training.settings import TrainingConfig
from env.camera_motion import CameraMotionConfig
from env.interior_walls import InteriorWallsConfig
from env.nuisance import NuisanceConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

SIDES = ("first", "second")  # names of their scores and arrays
OBJECTS = 3  # in every world
UNRELATED = "unrelated-latents"  # condition of the pairs without pixels


class WorldsStream(Stream):
    """Random streams of the experiment."""

    LATENTS = 51  # pairs without pixels: rates, scenes and mixing
    SHUFFLED = 52  # states of the probes' null


@dataclass(frozen=True)
class World:
    """One world: how it differs from the default scene, and what two cameras have in common in it.

    Attributes:
        title: What it is, for tables and plots.
        changes: Settings of the scene that differ.
        unseen: For each camera, the objects that it never sees.
        private: Factors of each camera's frames alone: drifts of its colors and its own motion.
    """

    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    unseen: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    private: int = 0

    def scene(self, default: SceneConfig) -> SceneConfig:
        """Return the settings of its scene, given those of the default one."""
        return replace(default, **self.changes)

    def seen_factors(self, camera: int) -> list[int]:
        """Return the columns of the true state that a camera sees, 0 or 1: two for each object."""
        return [2 * k + axis for k in range(OBJECTS) if k not in self.unseen[camera] for axis in (0, 1)]

    @property
    def shared_dim(self) -> int:
        """Number of factors that both cameras see."""
        return len(set(self.seen_factors(0)) & set(self.seen_factors(1)))


WORLDS: Mapping[str, World] = {
    "default": World("independent objects, rate 0.7"),
    "mixed": World("rates 0.9, 0.7, 0.5", {"autocorrelation": (0.9, 0.9, 0.7, 0.7, 0.5, 0.5)}),
    "slow": World("all rates 0.95", {"autocorrelation": (0.95,)}),
    "coupled": World("coupled coordinates", {"dynamics": "coupled", "coupling": 0.25}),
    "collide": World("elastic collisions", {"dynamics": "collide"}),
    "nuisance": World(
        "private brightness drift",
        {"nuisance": NuisanceConfig(brightness=0.25, brightness_autocorrelation=0.95)},
        private=1,
    ),
    "wall": World(
        "a wall, each camera misses an object",
        {
            "object_areas": ((-1.75, -1.3, 1.0, 0.8), (1.75, -1.3, 1.0, 0.8), (0.0, 1.9, 1.4, 0.8)),
            "interior_walls": InteriorWallsConfig(((0.0, -4.0, 0.0, 0.2),), height=2.2),
        },
        unseen=((0,), (1,)),
    ),
    "moving": World(
        "cameras pan and tilt", {"camera_motion": CameraMotionConfig(pan=4.0, tilt=2.0)}, private=2
    ),
}  # wall is the room of examples/walls.toml


def _default_setup() -> AgentSetup:
    scene = SceneConfig(renderer="toy", frame_size=48, objects=OBJECTS)
    return AgentSetup(scene=scene, training=TrainingConfig(own_ticks=True))


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)
    unrelated_pairs: int = 80  # pairs without pixels of each seed, of two different worlds
    related_pairs: int = 4  # of one world, the control
    lowest_rate: float = 0.7  # of the factors of these pairs
    highest_rate: float = 0.99
    latent_ticks: int = 4096  # consecutive ticks that their cores are found on

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be compared."""
        if self.setup.scene.objects != OBJECTS:
            raise ValueError(
                f"setup.scene.objects={self.setup.scene.objects}: the worlds have {OBJECTS} objects"
            )
        if self.setup.model.dim < self.largest_core:
            raise ValueError(
                f"setup.model.dim={self.setup.model.dim} must be at least {self.largest_core}, the factors "
                "that a camera sees in the world where it sees most"
            )
        if self.unrelated_pairs < 1 or self.related_pairs < 1:
            raise ValueError(
                f"unrelated_pairs={self.unrelated_pairs} and related_pairs={self.related_pairs} must be at "
                "least 1"
            )
        if not 0 < self.lowest_rate <= self.highest_rate < 1:
            raise ValueError(
                f"lowest_rate={self.lowest_rate} and highest_rate={self.highest_rate} must lie between 0 and "
                "1, in this order"
            )
        if self.latent_ticks < 256:
            raise ValueError(f"latent_ticks={self.latent_ticks} must be at least 256")
        if self.setup.negotiation.pool_ticks < 16 * MEMORIES:
            raise ValueError(
                f"setup.negotiation.pool_ticks={self.setup.negotiation.pool_ticks} must be at least "
                f"{16 * MEMORIES}"
            )

    @property
    def largest_core(self) -> int:
        """Number of factors that a camera sees in the world where it sees most."""
        return max(len(world.seen_factors(0)) + world.private for world in WORLDS.values())


QUICK: Mapping[str, Any] = {
    "setup": {
        "scene": {"renderer": "toy", "frame_size": 32, "objects": OBJECTS},
        "model": {"dim": 10, "width": 8, "hidden": 32},
        "training": {**QUICK_SETUP["training"], "stage_steps": 60},
        "negotiation": {"pool_ticks": 256, "anchors": 128, "heldout": 256},
    },
    "unrelated_pairs": 4, "related_pairs": 1, "latent_ticks": 1024,
}  # fmt: skip

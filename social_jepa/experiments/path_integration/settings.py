"""Settings of the experiment path-integration, its conditions and its random streams."""

from dataclasses import dataclass

from env.objects.dataset import ObjectsConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.streams import Stream

SCENE_VIEWS, OBJECT_ROTATIONS = CONDITIONS = ("scene views", "object rotations")
BOTH, ACTION_ONLY, VISION_ONLY, SHUFFLED_VIEWS = INPUTS = (
    "vision and action",
    "action only",
    "vision only",
    "action, shuffled views",
)


class PathStream(Stream):
    """Random streams of the experiment; the first three draw sequences."""

    TRAINING = 1
    PROBE = 2
    SCORING = 3
    WEIGHTS = 31
    BATCHES = 32
    MLP_PROBE = 33
    SHUFFLED = 34  # targets of the probes' null
    ODOMETRY = 35  # noise of the actions


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    renderer: str = "toy"
    frame_size: int = 32  # pixels
    max_actions: int = 7  # actions of the longest path; its sequence has one view more
    odometry_noise: float = 0.25  # noise of each action, in root mean squares of an action
    context_views: int = 3  # of a training step
    action_share: float = 0.2  # of a token's dimensions
    max_view_angle: float = 15.0  # degrees of pan and tilt away from the camera's pose
    max_rotation: float = 45.0  # degrees either way about each axis
    min_scale: float = 0.9  # smallest size in a view; the largest is 1
    max_light_angle: float = 20.0  # degrees between the light and its mean direction
    background_range: float = 0.1  # largest deviation of the background's RGB from its mean
    training_sequences: int = 3000
    probe_sequences: int = 2500  # that probes are fitted on
    scoring_sequences: int = 600  # that probes are scored on
    dim: int = 64  # of a latent
    width: int = 32  # channels of the first convolution
    hidden: int = 256  # units between the convolutions and the latent
    views_per_step: int = 256  # of a training step
    steps: int = 600
    learning_rate: float = 1e-3
    momentum: float = 0.99  # of the target network at the first step; it increases to 1 along a cosine
    covariance: float = 0.0  # weight of VICReg's covariance term on the latents of the context views
    probe_steps: int = 300  # optimizer steps of an MLP probe
    probe_hidden: int = 256  # units of its hidden layers

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that no sequence or token has."""
        if not 0 < self.action_share < 1:
            raise ValueError(f"action_share={self.action_share} must lie between 0 and 1")
        if not 1 <= self.context_views <= self.max_actions + 1:
            raise ValueError(
                f"context_views={self.context_views} must lie between 1 and {self.max_actions + 1}, the "
                "views of the longest path"
            )
        if not self.odometry_noise >= 0:
            raise ValueError(f"odometry_noise={self.odometry_noise} must not be negative")

    @property
    def action_dim(self) -> int:
        """Dimensions of an embedded action."""
        return max(1, round(self.dim * self.action_share / (1 - self.action_share)))

    @property
    def scene_config(self) -> SceneConfig:
        """Settings of the scene."""
        return SceneConfig(renderer=self.renderer, frame_size=self.frame_size)

    @property
    def objects_config(self) -> ObjectsConfig:
        """Settings of the objects and their views."""
        return ObjectsConfig(
            self.renderer, self.frame_size, max_rotation=self.max_rotation, min_scale=self.min_scale,
            max_light_angle=self.max_light_angle, background_range=self.background_range,
        )  # fmt: skip


QUICK = {
    "training_sequences": 200, "probe_sequences": 150, "scoring_sequences": 100, "dim": 32, "width": 16,
    "hidden": 64, "views_per_step": 160, "steps": 60, "probe_steps": 80, "probe_hidden": 64,
}  # fmt: skip

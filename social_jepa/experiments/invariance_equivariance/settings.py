"""Settings of the experiment invariance-equivariance, its conditions and its random streams."""

from dataclasses import dataclass

from agents.models.settings import BASELINES
from env.objects.dataset import ObjectsConfig
from social_jepa.experiments.common.streams import Stream

MAIN, NO_ACTIONS = "seq-jepa-3", "seq-jepa-3-no-actions"
CONTEXT_VIEWS = {"seq-jepa-1": 1, "seq-jepa-2": 2, MAIN: 3, NO_ACTIONS: 3}  # by condition
CONDITIONS = (*CONTEXT_VIEWS, *BASELINES, "untrained", "pixel-pca")
TEST_LENGTHS = (1, 3, 5)  # views that an aggregate is computed from
TEST_VIEWS = 5  # of each object that probes are fitted or scored on


class InvarianceStream(Stream):
    """Random streams of the experiment; the first five draw objects, so that no two sets share an object."""

    TRAINING = 1
    PROBE = 2
    SCORING = 3
    UNSEEN_PROBE = 4
    UNSEEN_SCORING = 5
    WEIGHTS = 11  # the same initial encoder for every method
    BATCHES = 12  # the same order of objects for every method
    MLP_PROBE = 21
    SHUFFLED = 22  # targets of the probes' null


@dataclass(frozen=True)
class MethodSettings:
    """Training settings of one method, searched on other seeds than those that are scored."""

    learning_rate: float
    momentum: float = 0.99  # of the target network at the first step; it increases to 1 along a cosine
    weight_decay: float = 1e-3
    covariance: float = 0.0  # weight of VICReg's covariance term on the latents of seq-JEPA's context views


METHOD_SETTINGS = {
    **dict.fromkeys(CONTEXT_VIEWS, MethodSettings(2e-3, 0.97, covariance=0.02)),
    "simclr": MethodSettings(1e-3),
    "byol": MethodSettings(1e-3, 0.97),
    "vicreg": MethodSettings(1e-3),
}


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    renderer: str = "toy"  # toy: solids with colored faces; miniworld: textured meshes
    frame_size: int = 32  # pixels
    max_rotation: float = 45.0  # degrees either way about each axis
    min_scale: float = 0.9  # smallest size in a view; the largest is 1
    max_light_angle: float = 20.0  # degrees between the light and its mean direction
    background_range: float = 0.1  # largest deviation of the background's RGB from its mean
    training_objects: int = 3000
    views: int = 4  # of each training object: the longest context and its target
    probe_objects: int = 800  # that probes are fitted on
    scoring_objects: int = 500  # that probes are scored on
    unseen_objects: int = 300  # of unseen classes, for fitting probes; the same number for scoring
    dim: int = 64  # of a latent
    width: int = 32  # channels of the first convolution
    hidden: int = 256  # units between the convolutions and the latent
    views_per_step: int = 128  # of a training step
    teraflops: float = 3.0  # of the training of each method
    probe_steps: int = 300  # optimizer steps of an MLP probe
    probe_hidden: int = 1024  # units of its hidden layers

    @property
    def objects_config(self) -> ObjectsConfig:
        """Settings of the objects and their views."""
        return ObjectsConfig(
            self.renderer, self.frame_size, max_rotation=self.max_rotation, min_scale=self.min_scale,
            max_light_angle=self.max_light_angle, background_range=self.background_range,
        )  # fmt: skip


QUICK = {
    "training_objects": 150, "probe_objects": 100, "scoring_objects": 60, "unseen_objects": 40, "dim": 32,
    "width": 16, "hidden": 64, "views_per_step": 128, "teraflops": 0.03, "probe_steps": 60,
    "probe_hidden": 128,
}  # fmt: skip

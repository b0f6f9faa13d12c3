"""Settings of the experiment counting, its conditions and its random streams."""

from dataclasses import dataclass

from env.checks import check_choice, check_integer, check_number, check_positive
from env.gym.counting import SHAPES, CountingConfig
from social_jepa.experiments.common.streams import Stream

COUNTS = 9
PAIRS = COUNTS * (COUNTS - 1) // 2  # of counts
CONDITIONS = (
    "joint", "reward-only", "dynamics-only", "three-heads", "three-heads-only", "random-target", "detached",
    "untrained",
)  # fmt: skip
WITHOUT_DYNAMICS = ("reward-only", "three-heads-only")
MIN_FRAMES_PER_COUNT = 4  # with fewer, no classifier has a variance to fit


class CountingStream(Stream):
    """Random streams of the experiment."""

    WEIGHTS = 1
    CALIBRATION = 2  # frames
    TRAINING = 3  # transitions
    PROBE = 4  # frames
    HELD_OUT = 5  # frames
    LOSSES = 6  # held-out transitions
    SHUFFLED = 7  # labels of the null, and noise
    RANDOM_TARGET = 8  # weights of the random network


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    shape: str = "any"  # as in env.gym.counting; "any" draws one kind of shape for each frame
    steps: int = 10_000
    batch_size: int = 64  # transitions
    learning_rate: float = 1e-2  # of the transition T and the head P, at its peak
    warmup: float = 0.1  # share of the steps over which the learning rate rises; a cosine follows
    encoder_lr_multiplier: float = 0.3  # the encoder's share of the learning rate, as in the paper
    dim: int = 32  # of a latent
    width: int = 16  # channels of the encoder's first convolution
    hidden: int = 128  # units of the encoder's last hidden layer, and of the hidden layers of T and P
    dynamics_weight: float = 0.1  # c_d; at the paper's 2, latents collapse before squared errors are learned
    reward_weight: float = 10.0  # also of all outputs of the random network together
    termination_weight: float = 1.0
    value_weight: float = 0.1
    discount: float = 0.95  # of the value
    random_target_dim: int = 64  # outputs of the random network
    frames_per_count: int = 200  # that probes are fitted on, and as many that they are scored on

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be trained or scored."""
        check_choice("shape", self.shape, ("any", *SHAPES))
        for name in ("steps", "batch_size", "dim", "width", "hidden", "random_target_dim"):
            check_integer(name, getattr(self, name), 1)
        check_integer("frames_per_count", self.frames_per_count, MIN_FRAMES_PER_COUNT)
        for name in ("learning_rate", "encoder_lr_multiplier", "dynamics_weight", "reward_weight"):
            check_positive(name, getattr(self, name))
        for name in ("termination_weight", "value_weight"):
            check_number(name, getattr(self, name), 0)
        check_number("warmup", self.warmup, 0, 1)
        check_number("discount", self.discount, 0, 1)

    @property
    def world(self) -> CountingConfig:
        """The environment."""
        return CountingConfig(shape=self.shape, max_count=COUNTS - 1)

    def target_weights(self, condition: str) -> tuple[float, ...]:
        """Return the weights of reward, termination and value in a condition, or of its random outputs."""
        if condition == "random-target":
            return (self.reward_weight / self.random_target_dim,) * self.random_target_dim
        if condition.startswith("three-heads"):
            return self.reward_weight, self.termination_weight, self.value_weight
        return self.reward_weight, 0.0, 0.0


QUICK = {"steps": 80, "frames_per_count": 60}


def conditions(settings: Settings) -> list[str]:
    """Return the names of the conditions."""
    return list(CONDITIONS)

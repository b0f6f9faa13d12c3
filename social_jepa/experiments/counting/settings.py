"""Settings of the experiment counting, its conditions and its random streams."""

from dataclasses import dataclass

from social_jepa.experiments.common.streams import Stream

COUNTS = 9
PAIRS = COUNTS * (COUNTS - 1) // 2  # of counts


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

    shape: str = "square"  # as in env.gym.counting; "any" varies the kind of shape
    steps: int = 2800
    batch_size: int = 64  # transitions
    learning_rate: float = 1e-2  # of the transition T and the head P
    encoder_lr_multiplier: float = 0.3  # the encoder's share of the learning rate, as in the paper
    dim: int = 32  # of a latent
    width: int = 16  # channels of the encoder's first convolution
    hidden: int = 128  # units of the encoder's last hidden layer, and of the hidden layers of T and P
    head_weight: float = 100.0  # c_p; with smaller ones the latents of counts far from 4 merge
    other_head_weights: tuple[float, ...] = (0.0, 1.0, 5.0)  # 5 is the paper's 10 to 2
    random_target_dim: int = 64  # outputs of the random network
    frames_per_count: int = 100  # that probes are fitted on, and as many that they are scored on


QUICK = {"steps": 80, "frames_per_count": 60}


def conditions(settings: Settings) -> list[str]:
    """Return the names of the conditions."""
    names = ["joint", "reward-only", "dynamics-only", "detached", "random-target", "untrained"]
    return names + [f"head-weight-{weight:g}" for weight in settings.other_head_weights]

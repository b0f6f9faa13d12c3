"""P-JEPA in the counting world: does a reward keep latents from collapse, and does it sort them by count?

After Yu et al., arXiv:2509.12249, whose result is qualitative: reward and dynamics together give nine
clusters of latents, one for each count; the reward alone fewer; dynamics alone one point.

Question:
    Does ``|T(E(o), a) - E(o')|^2 + c_p |P(E(o)) - p(o)|^2``, p(o) = 1 where o shows four shapes, tell all
    nine counts apart, though p tells one of them from the rest? What is left without either term?

Protocol:
    Pictures of 0 to 8 squares, an action adds or removes one. Every part trains one `PJepa` on fresh
    transitions, from the same first weights and on the same data in the same order; parts differ in terms
    and weights alone. The encoder learns at 0.3 times the rate of the rest, as in the paper. Held-out frames
    are equally many of each count; classifiers are fitted to one set of them and scored on another. Training,
    calibration, probe and scoring frames come from generators with different words.

Parts:
    joint            both terms.
    reward-only      no dynamics.
    dynamics-only    no head: the null of the theorem.
    detached         both terms, but the head teaches the encoder nothing; all gradients are clipped together,
                     so that its steps are not exactly those of dynamics only.
    weight-0, ...    joint with other weights c_p; weight 0 is dynamics only with a head that does not learn.
    random-target    joint, but p is a frozen random network: keeps codes apart, and not by count.
    untrained        first weights: the baseline.

Measured on held-out frames:
    pairs            how many of the 36 pairs of counts a linear discriminant tells apart on 99 % or more.
    clusters         leaves of a density tree (`counting_probes.clusters`); a cluster holds at least half as
                     many frames as a count has. Nothing is told of how many to expect.
    accuracy, r2     the count by a linear discriminant, and by least squares; null: shuffled labels.
    rank             effective rank. It knows no scale: codes that shrank to rounding may have any. So beside
                     it the rank over directions that keep 1 % of the untrained spread; and the spread itself.
    floored          the same scores after noise of 1 % of the untrained spread was added to all codes.

Thresholds, fixed beforehand:
    Joint: 9 clusters, 36 pairs. Reward only: fewer pairs than joint. Dynamics only: floored rank below 1.5.
    Weight 0: the codes of dynamics only. Settings were chosen on seeds from 100 on; seeds from 0 are scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from agents.models.p_jepa import PJepa, RandomNetworkTarget
from agents.models.settings import EncoderConfig, PJepaModelConfig
from agents.streams import seeded
from env.gym.counting import FRAME_SIZE, SHAPES, CountingConfig, draw_many, transition_table, transitions
from social_jepa.experiments.common.training_loop import Batch, fit_model
from social_jepa.experiments.counting.metrics import figures, notes, pictures
from social_jepa.experiments.counting.probes import scores
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score

# Words after the seed: what each generator is for.
WEIGHTS, CALIBRATION, TRAINING, PROBE, HELD_OUT, LOSSES, SHUFFLE, RANDOM_NETWORK = range(1, 9)
CURVE = 200  # points of a loss curve that are kept
LOSS_BATCHES = 16  # of held-out transitions, on which the losses are measured


@dataclass(frozen=True)
class CountingSettings:
    """What the nine counts are learnt with."""

    shape: str = "square"  # as in env.gym.counting; with "any" the kind of shape must be seen through too
    steps: int = 2800
    batch: int = 64  # transitions
    learning_rate: float = 1e-2  # of T and P
    encoder_rate: float = 0.3  # the encoder's share of it, as in the paper
    dim: int = 32  # of a code
    width: int = 16  # of the encoder's first layer
    hidden: int = 128  # units of the encoder's last layer, of T and of P
    head_weight: float = 100.0  # c_p; smaller ones let the far counts shrink together
    weights: tuple[float, ...] = (0.0, 1.0, 5.0)  # other c_p; 5 is the paper's 10 to 2
    random_dim: int = 64  # values of the random network
    frames: int = 100  # of each count, for probes and again for scores


def parts(settings: CountingSettings) -> list[str]:
    """Return the names of the trainings."""
    named = ["joint", "reward-only", "dynamics-only", "detached", "random-target", "untrained"]
    return named + [f"weight-{weight:g}" for weight in settings.weights]


def reward_of(counts: np.ndarray, world: CountingConfig) -> np.ndarray:
    """Return p(o), the reward of a frame's own count, int64 [N] -> float64 [N].

    ``Transitions.rewards`` belong to the frame that an action leads to; p is a function of the frame before.
    """
    return transition_table(world)[1][counts]


def build(part: str, settings: CountingSettings) -> PJepa:
    """Return an untrained model of a part; weights come from torch's current generator."""
    encoder = EncoderConfig(settings.dim, settings.width, settings.hidden, "fp32")
    config = PJepaModelConfig(encoder, settings.hidden, settings.hidden, settings.head_weight)
    if part == "reward-only":
        config = replace(config, dynamics=False)
    elif part == "dynamics-only":
        config = replace(config, auxiliary=False)
    elif part == "detached":
        config = replace(config, detached=True)
    elif part.startswith("weight-"):
        config = replace(config, head_weight=float(part.removeprefix("weight-")))
    values = settings.random_dim if part == "random-target" else 1
    return PJepa(config, FRAME_SIZE, action_dim=1, target_dim=values)


def run(part: str, seed: int, settings: CountingSettings, say: Log) -> ConditionResult:
    """Train a part with a seed and score its codes."""
    model = seeded([seed, WEIGHTS], lambda: build(part, settings))
    first, probe, held_out = (
        _frames(np.random.default_rng([seed, word]), settings) for word in (CALIBRATION, PROBE, HELD_OUT)
    )
    model.calibrate(first[0])
    network = None
    if part == "random-target":
        network = RandomNetworkTarget(FRAME_SIZE, 1000 * seed + RANDOM_NETWORK, settings.random_dim, 8)
        network.calibrate(first[0])
    untrained = float(_codes(model, held_out[0]).var(0).sum())
    batch = _batches(settings, model, network)
    curves: dict[str, list[float]] = {}
    flops = 0.0
    if part != "untrained":
        slow = {"encoder.": settings.encoder_rate}
        curves, flops = fit_model(
            model, batch, settings.steps, settings.learning_rate, [seed, TRAINING], say, lr_multipliers=slow
        )  # fmt: skip
    codes = _codes(model, held_out[0])
    measures, arrays = scores(
        (_codes(model, probe[0]), probe[1]), (codes, held_out[1]), untrained,
        np.random.default_rng([seed, SHUFFLE]),
    )  # fmt: skip
    with torch.no_grad():
        losses = [batch(np.random.default_rng([seed, LOSSES, k]))[1] for k in range(LOSS_BATCHES)]
    measures |= {f"{name} loss": Score.mean(np.array([loss[name] for loss in losses])) for name in losses[0]}
    arrays |= {f"curve {name}": _thinned(curve) for name, curve in curves.items()}
    return ConditionResult(measures, arrays | {"all codes": codes.astype(np.float32)}, flops=flops)


def _batches(settings: CountingSettings, model: PJepa, network: RandomNetworkTarget | None) -> Batch:
    """Return what draws fresh transitions and returns their loss."""
    world = CountingConfig(shape=settings.shape)

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        drawn = transitions(rng, settings.batch, world)
        frames, after = torch.from_numpy(drawn.frames), torch.from_numpy(drawn.next_frames)
        reward = torch.from_numpy(reward_of(drawn.counts, world)).float()
        target = reward[:, None] if network is None else network(frames)
        return model.loss(frames, torch.from_numpy(drawn.actions), after, target)

    return batch


def _frames(rng: np.random.Generator, settings: CountingSettings) -> tuple[Tensor, np.ndarray]:
    """Return frames and their counts, equally many of each count, uint8 [N, H, W, C] and int64 [N]."""
    counts = np.repeat(np.arange(CountingConfig().max_count + 1), settings.frames)
    kinds = [settings.shape] * len(counts)
    if settings.shape == "any":
        kinds = [SHAPES[k] for k in rng.integers(len(SHAPES), size=len(counts))]
    return torch.from_numpy(draw_many(counts, kinds, rng)), counts


@torch.no_grad()
def _codes(model: PJepa, frames: Tensor) -> np.ndarray:
    return torch.cat([model.encode(chunk) for chunk in frames.split(256)]).double().numpy()


def _thinned(curve: Sequence[float]) -> np.ndarray:
    """Return the steps at which up to CURVE equal stretches of a curve end, and their means, [2, K]."""
    stretches = np.array_split(np.asarray(curve), min(CURVE, len(curve)))
    return np.stack([np.cumsum([len(s) for s in stretches]), [s.mean() for s in stretches]])


EXPERIMENT = Experiment(
    name="counting",
    question="Does a reward for one of nine counts, with the dynamics, tell all nine counts apart?",
    settings=CountingSettings,
    quick={"steps": 80, "frames": 60},
    conditions=parts,
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)

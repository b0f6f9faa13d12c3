"""P-JEPA in the counting environment: does a reward prevent collapse, and does it order latents by count?

After Yu et al., arXiv:2509.12249, whose result is qualitative: reward and dynamics together give nine
clusters of latents, one for each count; the reward alone fewer; dynamics alone one point.

Question:
    Does ``|T(E(o), a) - E(o')|^2 + c_p |P(E(o)) - p(o)|^2``, p(o) = 1 if o shows four shapes, separate all
    nine counts, though p separates only one of them from the others? What remains without either term?

Protocol:
    Frames of 0 to 8 squares; an action adds or removes one. Every condition trains one `PJepa` on fresh
    transitions, from the same initial weights and on the same data in the same order; conditions differ only
    in terms and weights of the loss. The encoder has 0.3 times the learning rate of the rest, as in the
    paper. Held-out frames have equally many of each count; classifiers are fitted on one set of them and
    scored on another. Training, calibration, probe and held-out frames come from different random streams.

Conditions:
    joint                both terms.
    reward-only          no dynamics.
    dynamics-only        no head: the null of the theorem.
    detached             both terms, but no gradient of the head reaches the encoder; gradients are clipped
                         jointly, so that its steps differ slightly from those of dynamics-only.
    head-weight-0, ...   joint with other weights c_p; weight 0 is dynamics-only with an untrained head.
    random-target        joint, but p is a frozen random network: separates latents, but not by count.
    untrained            initial weights: the baseline.

Measured on held-out frames:
    separable pairs      number of the 36 pairs of counts with an accuracy of a linear discriminant of at
                         least 99 %.
    clusters             leaves of a density tree (`probes.clusters`); a cluster has at least half as many
                         frames as a count. The number of clusters is not given.
    accuracy, R2         of the count by a linear discriminant, and by least squares; null: shuffled labels.
    effective rank       independent of scale: latents that shrank to rounding errors may have any. Therefore
                         also the rank over directions that keep 1 % of the untrained spread, and the spread.
    with noise           the same scores after adding noise of 1 % of the untrained spread to all latents.

Thresholds, set before the full run:
    Joint: 9 clusters, 36 separable pairs. Reward-only: fewer pairs than joint. Dynamics-only: effective rank
    above the floor below 1.5. Head weight 0: the latents of dynamics-only. Settings were chosen on seeds from
    100 on; seeds from 0 are scored.

Shown on the page: the thresholds, all scores of each condition, and the distances from dynamics-only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from agents.common.streams import seeded
from agents.models.p_jepa import PJepa, RandomNetworkTarget
from agents.models.settings import EncoderConfig, PJepaModelConfig
from env.gym.counting import FRAME_SIZE, SHAPES, CountingConfig, draw_many, transition_table, transitions
from social_jepa.experiments.common.training_loop import Batch, fit_model
from social_jepa.experiments.counting.describe import describe_methods
from social_jepa.experiments.counting.metrics import metrics, notes
from social_jepa.experiments.counting.plots import plots
from social_jepa.experiments.counting.probes import probe_scores
from social_jepa.experiments.counting.settings import QUICK, CountingStream, Settings, conditions
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score

CURVE_POINTS = 200  # of a loss curve
LOSS_BATCHES = 16  # held-out batches that the losses are measured on


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the model of a condition and score its latents.

    Args:
        condition: One of conditions(settings).
        seed: Seed of weights, frames, transitions and shuffles.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    model = seeded([seed, CountingStream.WEIGHTS], lambda: build_model(condition, settings))
    streams = (CountingStream.CALIBRATION, CountingStream.PROBE, CountingStream.HELD_OUT)
    calibration, probe, held_out = (_sample_frames(stream.rng(seed), settings) for stream in streams)
    model.calibrate(calibration[0])
    network = None
    if condition == "random-target":
        network_seed = 1000 * seed + CountingStream.RANDOM_TARGET
        network = RandomNetworkTarget(FRAME_SIZE, network_seed, settings.random_target_dim, 8)
        network.calibrate(calibration[0])
    untrained = float(_latents(model, held_out[0]).var(0).sum())
    batch_loss = _batch_loss(settings, model, network)
    curves: dict[str, list[float]] = {}
    flops = 0.0
    if condition != "untrained":
        curves, flops = fit_model(
            model, batch_loss, settings.steps, settings.learning_rate, [seed, CountingStream.TRAINING], log,
            lr_multipliers={"encoder.": settings.encoder_lr_multiplier},
        )  # fmt: skip
    latents = _latents(model, held_out[0])
    probe_set, held_out_set = (_latents(model, probe[0]), probe[1]), (latents, held_out[1])
    scores, arrays = probe_scores(probe_set, held_out_set, untrained, CountingStream.SHUFFLED.rng(seed))
    with torch.no_grad():
        losses = [batch_loss(CountingStream.LOSSES.rng(seed, index))[1] for index in range(LOSS_BATCHES)]
    scores |= {f"{name} loss": Score.mean(np.array([loss[name] for loss in losses])) for name in losses[0]}
    arrays |= {f"curve {name}": _thin_curve(curve) for name, curve in curves.items()}
    return ConditionResult(scores, arrays | {"latents": latents.astype(np.float32)}, flops=flops)


def build_model(condition: str, settings: Settings) -> PJepa:
    """Return the untrained model of a condition; weights come from torch's current generator."""
    encoder = EncoderConfig(settings.dim, settings.width, settings.hidden, "fp32")
    config = PJepaModelConfig(encoder, settings.hidden, settings.hidden, settings.head_weight)
    if condition == "reward-only":
        config = replace(config, dynamics=False)
    elif condition == "dynamics-only":
        config = replace(config, auxiliary=False)
    elif condition == "detached":
        config = replace(config, detached=True)
    elif condition.startswith("head-weight-"):
        config = replace(config, head_weight=float(condition.removeprefix("head-weight-")))
    target_dim = settings.random_target_dim if condition == "random-target" else 1
    return PJepa(config, FRAME_SIZE, action_dim=1, target_dim=target_dim)


def count_rewards(counts: np.ndarray, world: CountingConfig) -> np.ndarray:
    """Return p(o), the reward of a frame's own count, int64 [N] -> float64 [N].

    ``Transitions.rewards`` belong to the frame after an action; p is a function of the frame before.
    """
    return transition_table(world)[1][counts]


def _batch_loss(settings: Settings, model: PJepa, network: RandomNetworkTarget | None) -> Batch:
    """Return a function that samples fresh transitions and returns their loss."""
    world = CountingConfig(shape=settings.shape)

    def batch_loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        batch = transitions(rng, settings.batch_size, world)
        frames, next_frames = torch.from_numpy(batch.frames), torch.from_numpy(batch.next_frames)
        rewards = torch.from_numpy(count_rewards(batch.counts, world)).float()
        targets = rewards[:, None] if network is None else network(frames)
        return model.loss(frames, torch.from_numpy(batch.actions), next_frames, targets)

    return batch_loss


def _sample_frames(rng: np.random.Generator, settings: Settings) -> tuple[Tensor, np.ndarray]:
    """Return frames uint8 [N, H, W, C] and their counts int64 [N], equally many of each count."""
    counts = np.repeat(np.arange(CountingConfig().max_count + 1), settings.frames_per_count)
    shapes = [settings.shape] * len(counts)
    if settings.shape == "any":
        shapes = [SHAPES[index] for index in rng.integers(len(SHAPES), size=len(counts))]
    return torch.from_numpy(draw_many(counts, shapes, rng)), counts


@torch.no_grad()
def _latents(model: PJepa, frames: Tensor) -> np.ndarray:
    return torch.cat([model.encode(chunk) for chunk in frames.split(256)]).double().numpy()


def _thin_curve(curve: Sequence[float]) -> np.ndarray:
    """Return the last steps of up to CURVE_POINTS equal segments of a curve, and their means, [2, K]."""
    segments = np.array_split(np.asarray(curve), min(CURVE_POINTS, len(curve)))
    ends = np.cumsum([len(segment) for segment in segments])
    return np.stack([ends, [segment.mean() for segment in segments]])


EXPERIMENT = Experiment(
    name="counting",
    question="Does a reward for one of nine counts, together with the dynamics, separate all nine counts?",
    settings=Settings,
    quick=QUICK,
    conditions=conditions,
    run=run,
    metrics=metrics,
    plots=plots,
    methods=describe_methods,
    notes=notes,
)

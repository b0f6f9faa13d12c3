"""P-JEPA in the counting environment: does a reward prevent collapse, and does it order latents by count?

After Yu et al., arXiv:2509.12249, whose result is qualitative: reward and dynamics together give nine
clusters of latents, one for each count; the reward alone three; dynamics alone one point.

Question:
    Does ``c_d |T(E(o), a) - E(o')|^2 + sum_k w_k (P_k(E(o)) - p_k(o))^2``, where p_1 = 1 if o shows four
    shapes and 0 otherwise, separate all nine counts, though p_1 separates only one of them from the others?
    What remains without either term?

Protocol:
    A frame shows 0 to 8 shapes of one kind, a circle, square, triangle or line, as in the paper; an action
    adds or removes one. Every condition trains one `PJepa` on fresh transitions, from the same initial
    encoder and on the same data in the same order; conditions differ only in terms and weights of the loss.
    The learning rate rises linearly over the first tenth of the steps and then falls along a cosine; the
    encoder has 0.3 times that of the rest, as in the paper. Held-out frames have equally many of each count;
    classifiers are fitted on one set of them and scored on another. Training, calibration, probe and held-out
    frames come from different random streams.

Heads:
    reward               1 for a frame of four shapes, weight 10.
    termination          weight 1. In the authors' environment an episode ends at four shapes, where the
                         reward is 1, or after four steps. The latter is no function of the frame; by the
                         former, termination is the same function as the reward.
    value                weight 0.1. Expected discounted reward under random actions until an episode ends at
                         four shapes, solved exactly from the transition table; the discount is 0.95.
    In the authors' code (concept_discovery_P_JEPA.yaml) only the head of the current reward trains the
    encoder: gradients of termination and value stop at the latent. Heads that train no encoder change no
    latent and are left out of joint and reward-only. Two more conditions have all three heads, and all their
    gradients reach the encoder: the value differs between counts of different distances from four, and
    suffices for 32 of the 36 pairs without dynamics.

Conditions:
    joint                reward and dynamics.
    reward-only          the reward alone, as the paper's condition of this name.
    dynamics-only        no head: the null of the theorem.
    three-heads          reward, termination, value and dynamics.
    three-heads-only     reward, termination and value without dynamics.
    random-target        dynamics, and a frozen random network as the target, of the weight of the reward:
                         separates latents, but not by count.
    detached             joint, but no gradient of the head reaches the encoder; gradients are clipped
                         jointly, so that its steps differ slightly from those of dynamics-only.
    untrained            initial weights: the baseline.

Measured on held-out frames:
    separable pairs      number of the 36 pairs of counts with an accuracy of a linear discriminant of at
                         least 99 %.
    clusters             leaves of a density tree (`probes.clusters`); a cluster has at least half as many
                         frames as a count. The number of clusters is not given; it has no threshold.
    accuracy, R2         of the count by a linear discriminant, and by least squares; null: shuffled labels.
    effective rank       independent of scale: latents that shrank to rounding errors may have any. Therefore
                         also the rank over directions that keep 1 % of the untrained spread, and the spread.
    with noise           the same scores after adding noise of 1 % of the untrained spread to all latents.
    ink                  baseline: the count read from the number of drawn pixels alone. Kinds of shapes cover
                         7, 25, 37 or 49 pixels, so that a linear discriminant of the amount separates no pair
                         at 99 % and is right for 31 % of frames. Exact amounts coincide only once, for one
                         square and seven lines: a table of them is right for 97 % and separates 35 pairs.
                         A network can thus read most counts from exact amounts in principle, which is a
                         property of the paper's shapes.

Departures from the paper:
    Independent transitions in place of episodes; squared errors in place of the cross-entropies of reward and
    termination; fewer steps, smaller batches, latents and networks; shapes of one color, where the authors'
    change color between episodes; the value of random actions in place of one learned by bootstrapping.

Searched on seed 100, with 2,000 steps:
    With the paper's weights of dynamics and reward, 2 and 10, latents of three-heads collapsed within 800
    steps, and the head predicted the mean: squared errors of rare rewards have smaller gradients than their
    cross-entropies. With c_d = 0.1 in place of 2, joint learned the reward, as with the same ratio in an
    earlier version of squares alone, whose sizes and learning rate are kept (seeds from 100 on). Joint
    separated 34 pairs, three-heads-only 32 and reward-only 30.

Thresholds, set before the full run:
    Joint separates at least 35.5 pairs, reward-only at most 30, and reward-only more than 3 fewer than joint.
    Dynamics-only: effective rank above the floor below 1.5, and a spread below 0.01 of the untrained one, as
    the rank alone does not show a collapse. Seeds 1000 to 1007, on which nothing was searched, score.

Shown on the page: the thresholds, the ink, all scores of each condition, and the distance of detached from
dynamics-only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from agents.common.streams import seeded
from agents.models.p_jepa import PJepa, RandomNetworkTarget
from agents.models.settings import EncoderConfig, PJepaModelConfig
from env.gym.counting import FRAME_SIZE, SHAPES, draw_many, transitions
from social_jepa.experiments.common.training_loop import Batch, fit_model
from social_jepa.experiments.counting.describe import describe_methods
from social_jepa.experiments.counting.ink import ink_scores
from social_jepa.experiments.counting.metrics import metrics, notes
from social_jepa.experiments.counting.plots import plots
from social_jepa.experiments.counting.probes import probe_scores
from social_jepa.experiments.counting.settings import (
    COUNTS,
    QUICK,
    WITHOUT_DYNAMICS,
    CountingStream,
    Settings,
    conditions,
)
from social_jepa.experiments.counting.targets import target_table
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
            warmup=settings.warmup, lr_multipliers={"encoder.": settings.encoder_lr_multiplier},
        )  # fmt: skip
    latents = _latents(model, held_out[0])
    probe_set, held_out_set = (_latents(model, probe[0]), probe[1]), (latents, held_out[1])
    scores, arrays = probe_scores(probe_set, held_out_set, untrained, CountingStream.SHUFFLED.rng(seed))
    with torch.no_grad():
        losses = [batch_loss(CountingStream.LOSSES.rng(seed, index))[1] for index in range(LOSS_BATCHES)]
    scores |= {f"{name} loss": Score.mean(np.array([loss[name] for loss in losses])) for name in losses[0]}
    if condition == "untrained":
        scores |= ink_scores((probe[0].numpy(), probe[1]), (held_out[0].numpy(), held_out[1]))
    arrays |= {f"curve {name}": _thin_curve(curve) for name, curve in curves.items()}
    return ConditionResult(scores, arrays | {"latents": latents.astype(np.float32)}, flops=flops)


def build_model(condition: str, settings: Settings) -> PJepa:
    """Return the untrained model of a condition; weights come from torch's current generator.

    Its loss is that of the protocol divided by the weight of the dynamics, whose weight in a `PJepa` is 1.
    """
    encoder = EncoderConfig(settings.dim, settings.width, settings.hidden, "fp32")
    config = PJepaModelConfig(encoder, settings.hidden, settings.hidden, 1 / settings.dynamics_weight)
    if condition in WITHOUT_DYNAMICS:
        config = replace(config, dynamics=False)
    elif condition == "dynamics-only":
        config = replace(config, auxiliary=False)
    elif condition == "detached":
        config = replace(config, detached=True)
    weights = settings.target_weights(condition)
    return PJepa(config, FRAME_SIZE, action_dim=1, target_dim=len(weights), target_weights=weights)


def _batch_loss(settings: Settings, model: PJepa, network: RandomNetworkTarget | None) -> Batch:
    """Return a function that samples fresh transitions and returns their loss."""
    table = torch.from_numpy(target_table(settings.world, settings.discount)).float()

    def batch_loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        batch = transitions(rng, settings.batch_size, settings.world)
        frames, next_frames = torch.from_numpy(batch.frames), torch.from_numpy(batch.next_frames)
        targets = table[torch.from_numpy(batch.counts)] if network is None else network(frames)
        return model.loss(frames, torch.from_numpy(batch.actions), next_frames, targets)

    return batch_loss


def _sample_frames(rng: np.random.Generator, settings: Settings) -> tuple[Tensor, np.ndarray]:
    """Return frames uint8 [N, H, W, C] and their counts int64 [N], equally many of each count."""
    counts = np.repeat(np.arange(COUNTS), settings.frames_per_count)
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
    seeds=range(1000, 1008),
)

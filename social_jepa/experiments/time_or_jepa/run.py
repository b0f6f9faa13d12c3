"""Is it latent prediction that makes agents agree, or time?

Agents that learn to predict latents agree up to a linear map; autoencoders and SimCLR, which see single
frames, do not. That comparison leaves open whether the prediction of latents does it, or merely that the JEPA
sees what follows what, and whether agreement is more than both agents knowing the same state.

Methods. Two agents stand 180 degrees apart on a ring around one scene, among four bodies; frames have 48 by
48 pixels of the renderer toy, and training takes its default course. The agents share no weights, no seed, no
data order and no tick of training: each trains on a stretch of ticks of its own (training.own_ticks). All
methods have the same encoder, and see the same frames in the same batches; those that are not said to differ
take the same number of steps at the same learning rate, which was tuned for the JEPA.
- *whitened*, *vicreg*, *log-det*, *ema*: JEPAs with the objectives of the product, the first of them with one
  encoder.
- *temporal-infonce*: contrastive learning of consecutive frames (t, t + 1), without augmentation; negatives
  are frames of other segments. It sees time, and predicts no latent.
- *next-frame*: predicts the pixels of the next frame. It sees time, and predicts pixels.
- *supervised*: regression on the positions of the objects, the ceiling.
- *autoencoder*, *simclr*: see single frames. They train until their loss is flat: at the peak learning rate
  until 150 steps lower the mean loss by less than 1 % of its whole fall, at most 1800 steps, then 150 steps
  in which the rate falls to zero.
- *tica*: the 16 most predictable linear functions of 256 principal components of the pixels.
- *pixel-pca*, *untrained*: the baselines, 16 principal components and the initial weights.

Measured at 25, 50, 75, 100, 150, 225, 300 and 450 steps, and for the two long methods at the multiples of 450
and at the end; on 1024 pairs of ticks that neither agent trained on, fitted, and 1024 others, scored. All 16
dimensions count; each owner whitens its latents on ticks of its own training. *Agreement* is R2 of the map
from one agent's latents to the other's, mean of both directions: of a free map (ridge), and of a rotation
(Procrustes). *State R2* is that of a linear probe of the true state on an agent's own latents, mean of both
agents, for evaluation only. *Residual agreement* is R2 of a free map between what is left of the latents of
both once the best linear function of the true state is removed; beside it, the same with all products of two
coordinates removed as well, and the share of the variance that is left. A frame is a function of the state,
so that any residual agreement is about nonlinear functions of it.

Equal state. Methods differ in how much of the state they encode, and agents that know more of it agree more.
Each checkpoint of a JEPA is compared with the agreement of the other method at the same state R2,
interpolated between its checkpoints; one whose state R2 lies further than 0.02 outside the other's range is
left out. The difference is the mean over checkpoints.

Nulls: one agent's rows shifted in time by half of their range. Seeds 1000 to 1007, on which nothing was
searched, score.

Thresholds, set before the full run, for each of the four JEPAs and for the worst of them in each seed:
- agreement is specific to JEPAs if at equal state R2 it exceeds that of temporal InfoNCE by at least 0.05,
  by a free map and by a rotation;
- it goes beyond the state if the residual agreement is at least 0.3; for the worst, and set after the run,
  as pixel PCA meets that bound too: if it exceeds that of the better baseline in the same seed.
"""

import numpy as np

from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.time_or_jepa.describe import describe_methods
from social_jepa.experiments.time_or_jepa.metrics import make_metrics, make_notes
from social_jepa.experiments.time_or_jepa.plots import make_plots
from social_jepa.experiments.time_or_jepa.scores import curve, final_scores, scores_by_step
from social_jepa.experiments.time_or_jepa.settings import METHODS, QUICK, Settings
from social_jepa.experiments.time_or_jepa.training import train_pair


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train two agents by one method and score their agreement at each checkpoint.

    Args:
        condition: One of METHODS.
        seed: Seed of the scene and the agents.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    histories = train_pair(condition, seed, settings, log)
    found = curve(histories)
    scores = final_scores(found) | scores_by_step(found)
    scores["flat"] = Score.single(float(all(history.flat for history in histories)))
    log(f"state R2 {scores['state'].score:.3f}, agreement {scores['free map'].score:.3f}")
    flops = float(np.mean([history.flops for history in histories]))
    return ConditionResult(scores, {"curve": found}, flops=flops)


EXPERIMENT = Experiment(
    name="time-or-jepa",
    question="Is it latent prediction that makes agents agree, or time?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: tuple(METHODS),
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
    seeds=range(1000, 1008),
)

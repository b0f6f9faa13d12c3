"""How few common moments do two agents need, when each has found its own independent axes?

Protocol. Two agents train alone, at other times than each other (training.own_ticks). After training, each
finds its core on further ticks of its own: its predictable axes, by time-lagged whitening, of which no one
is a function of the others, sorted by lag-1 autocorrelation. These ticks are not those of training, not seen
by the other agent, and neither common moments nor scored. The number of axes is what each agent finds. If
each factor of the scene has its own autocorrelation, axes of equal rank are the same factor, up to sign.

A *moment* is four consecutive ticks that both agents see: four pairs. Moments are so far apart that the
scene forgets between them. R2 is scored on held-out ticks, over both directions and many random choices of
the moments. A direction counts what was found: a factor that the target did not find is unexplained, and so
is an axis of the target that has no partner.

Conditions: the spacing of the factors' autocorrelations about a mean of 0.7. "Distinct" is a spacing of
0.025. At 0.05 the smallest of six autocorrelations does not exceed the square of the largest (0.825^2 = 0.68
exceeds three of them), so that functions of slow factors are as predictable as fast factors. At 0
axes cannot be identified. An axis that is found on n ticks is turned towards a neighbor by an angle with a
standard deviation of about sqrt((1 - rho^2) / 2n) / spacing: 0.06 for 131,072 ticks at 0.025, 0.14 at 0.01.

Methods (keys of the scores):

- *signs*: one sign for each axis, from the products of the pairs; no map is fitted.
- *shrunk signs*: each axis is shrunk by the uncertainty of its sign.
- *permutation*: the signed permutation of the highest likelihood, from the pairs and from both spectra.
- *orthogonal map*: fitted on the same pairs, whatever the axes are; the baseline. Four pairs determine four
  directions: the map drops all others, as that of a run does.
- *shrunk orthogonal map*: each of its singular directions is shrunk as shrunk signs shrink an axis.
- Without a moment: signs that match *skewness* (third-order cumulants), each measured on the agent's own
  ticks. Factors that are Gaussian about 0 have none; cameras and encoders may add some.

At the distinct spacing all of these also for untrained encoders, pixel PCA and linear tICA of both cameras,
which find their axes on the same ticks as the agents, on as many leading axes as the scene has factors.

Null: maps are fitted on moments of which those of one agent are shifted in time by half of their range, and
scored on held-out ticks as they are; without a moment, random signs. Random signs have a mean R2 of -1: their
error is the variance of both agents' axes. The true state is used only for plots.

Seeds 1000 to 1007 score; the number of ticks that axes are found on was searched on seed 100. There linear
tICA gave 0.88 from one moment, and agents 0.94: not the threshold, but the difference shows what was learned.

Threshold, set before the full run: R2 of signs from one moment at least 0.9 at the distinct spacing.

An earlier experiment, pair-free, compared single ticks on the seeds 0 to 2: agents trained and found their
axes on the same ticks, and the number of axes was given. One random tick gave 0.68, one that the source
chose 0.93, and with axes of other ticks that one gave 0.28. Its thresholds had been set at a spacing of 0.03
and moved to 0.025 after both were missed; it also matched point clouds without pairs, which always failed.
"""

import numpy as np

from social_jepa.experiments.common.similarity_baselines import baseline_name
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.one_moment.agents import TRAINED, train_pair
from social_jepa.experiments.one_moment.describe import describe_methods
from social_jepa.experiments.one_moment.metrics import make_metrics, make_notes
from social_jepa.experiments.one_moment.plots import make_plots
from social_jepa.experiments.one_moment.scores import ORTHOGONAL, SIGNS, moment_scores, pair_scores
from social_jepa.experiments.one_moment.settings import QUICK, Settings


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the two agents of one spacing, and score maps between their axes from few moments or none.

    Args:
        condition: "spacing 0.05" and so on.
        seed: Seed of the scene and of every random draw.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    spacing = settings.spacings[settings.conditions.index(condition)]
    pair = train_pair(settings, spacing, seed, log)
    agents = pair.axes[TRAINED]
    baselines = {name: axes for name, axes in pair.axes.items() if name != TRAINED}
    scores = pair_scores(agents, seed, settings)
    for name, axes in baselines.items():
        found = moment_scores(axes, seed, settings)
        scores |= {baseline_name(name, score): value for score, value in found.items()}
    log(f"R2 from one moment: signs {scores[f'{SIGNS}, 1'].score:.3f}, "
        f"orthogonal map {scores[f'{ORTHOGONAL}, 1'].score:.3f}")  # fmt: skip
    first, second = (axes.heldout for axes in agents)
    arrays = {
        "sizes": np.array([axes.dim for axes in agents]),
        "peer": correlations(first, second),
        "state": correlations(first, pair.states),
    }
    return ConditionResult(scores, arrays, flops=pair.flops)


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of each column of a with each column of b, [n, D] and [n, F] -> [D, F]."""
    a, b = ((rows - rows.mean(0)) / rows.std(0) for rows in (a, b))
    return a.T @ b / len(a)


EXPERIMENT = Experiment(
    name="one-moment",
    question="How few common moments do two agents need, when each has found its own independent axes?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: settings.conditions,
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
    seeds=range(1000, 1008),
)

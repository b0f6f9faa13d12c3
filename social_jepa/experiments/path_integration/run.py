"""Does the aggregate represent the total action of a sequence of views, and does it need views and actions?

After the figure on path integration in seq-JEPA (arXiv:2505.03176).

Protocol. Two conditions with one model each, and no classes. *Scene views*: one camera looks in independent
directions while the scene is static; an action is the relative (pan, tilt). *Object rotations*: one object is
seen under independent rotations, with independent light, background and size; an action is the quaternion
between two views. Actions are measured as by odometry, in training and after: each has an error of its own of
a quarter of the size of an action, so that a sum of actions alone becomes worse with every one of them. They
are a fifth of a token. seq-JEPA trains as in the paper, to predict the latent of the next view from three
views. Then it is frozen, and tested on paths of one to seven actions.

Measured. A path of n actions has n + 1 views; the aggregate is computed from all of them, and the target is
the true total action from the first to the last view: a difference of directions, or for rotations the
quaternion between them (w >= 0). (The paper calls this n views, counting those that an action starts from;
there one view and one action already give R2 1.) R2 is scored on sequences of other ticks (another 1,000
ticks away) or other objects; the probe, an MLP of three layers with 256 units, is fitted on a third set.
Ridge regression is shown beside it.

Ablations use the one frozen model, and probes are fitted on ablated inputs: *action only* replaces every view
by the mean training frame, *vision only* replaces every action by the mean training action, and *action,
shuffled views* keeps the actions and shows the views of another sequence, so that the views have the noise of
real ones and no information. No model is trained for an ablation.

Baselines: action only, vision only, and the untrained model with both inputs. Null: ridge regression from
both inputs, fitted on shuffled targets.

Thresholds, set before the full run, in both conditions: with 7 actions, R2 from both inputs is at least 0.1
above that from actions alone, and at least 0.05 above that from the same actions with the views of another
sequence. In the paper, R2 at 7 is 0.87 from both and 0.78 from actions alone for views of an image, and 0.29
and 0.14 for rotations.

Shown on the page: the thresholds, and R2 by condition, inputs, number of actions and probe.
"""

from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.path_integration.data import build_data
from social_jepa.experiments.path_integration.describe import describe_methods
from social_jepa.experiments.path_integration.metrics import metrics, notes
from social_jepa.experiments.path_integration.plots import plots
from social_jepa.experiments.path_integration.scores import path_scores
from social_jepa.experiments.path_integration.settings import BOTH, CONDITIONS, QUICK, Settings
from social_jepa.experiments.path_integration.training import build_model, train


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train one model, freeze it, and read the total action from its aggregates.

    Args:
        condition: One of CONDITIONS.
        seed: Seed of the scene or the objects, the weights, the batches and the probes.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    data = build_data(condition, seed, settings)
    training = data[0]
    model, flops = train(training, settings, seed, log)
    untrained = build_model(training, settings, seed)
    scores: dict[str, Score] = {}
    for actions in range(1, settings.max_actions + 1):
        scores |= path_scores(model, untrained, data, actions, seed, settings)
        log(f"{actions} actions: R2 {scores[f'{BOTH}, {actions}'].score:.3f}")
    return ConditionResult(scores, {"views": training.frames[:3]}, flops=flops)


EXPERIMENT = Experiment(
    name="path-integration",
    question="Does the aggregate represent the total action of a sequence, from views and actions?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: CONDITIONS,
    run=run,
    metrics=metrics,
    plots=plots,
    methods=describe_methods,
    notes=notes,
    seeds=range(1000, 1008),
)

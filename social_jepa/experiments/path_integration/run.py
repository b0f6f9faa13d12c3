"""Does the aggregate represent the total action of a sequence of views, and does it need views and actions?

After the figure on path integration in seq-JEPA (arXiv:2505.03176).

Protocol. Two conditions with one model each, and no classes. *Scene views*: one camera looks in independent
directions while the scene is static; an action is the relative (pan, tilt). *Object rotations*: one object is
seen under independent rotations, with independent light, background and size; an action is the quaternion
between two views. seq-JEPA trains as in the paper, to predict the latent of the next view, with a number of
context views that is drawn at every step from 1 to 8 (fixed in the paper), so that no test length is new to
the aggregator. Then it is frozen.

Measured. A path of n actions has n + 1 views; the aggregate is computed from all of them, and the target is
the total action from the first to the last view: the sum of the actions, or for rotations their composition
(quaternion, w >= 0). (The paper calls this n views, counting those that an action starts from; there one view
and one action already give R2 1.) R2 is scored on sequences of other ticks (another 1,000 ticks away) or
other objects; the probe, an MLP of three layers with 256 units, is fitted on a third set. Ridge regression is
shown beside it.

Ablations use the one frozen model, and probes are fitted on ablated inputs: *action only* replaces every view
by the mean training frame, *vision only* replaces every action by the mean training action. No model is
trained for an ablation. Added after the search, and without a threshold: *action, shuffled views* keeps the
actions and shows the views of another sequence, so that the views have the noise of real ones and no
information.

Baselines: action only, vision only, and the untrained model with both inputs. Null: ridge regression from
both inputs, fitted on shuffled targets.

Thresholds, set before the full run: with 7 actions of scene views R2 from both inputs at least 0.85, and
above that from actions alone. A limitation was known beforehand: the aggregator averages tokens without
positions, so that a sum of actions can decrease with the length of the sequence, as it does in the paper
(0.78 for actions alone at 7).

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
)

"""Does acting on objects keep their rotation in the codes of single views, and their class in the aggregate?

After the main table of seq-JEPA (arXiv:2505.03176), which is about 3DIEBench; here, a small stand-in.

Protocol. A seed draws a pool of objects of the seen classes, each from several sides, under lights,
backgrounds and sizes of their own (`env.objects.dataset`, solids with coloured faces: none looks the same
after a turn, which cones and barrels do). The settings say how far views differ, equally for all. They are
easier than 3DIEBench: turns of 45 degrees about each axis instead of 90, light and background that vary
little, nine classes; training is thousands of steps instead of hundreds of thousands.
seq-JEPA learns from 1, 2 or 3 views and the rotations between them to predict the code of the next view;
SimCLR, BYOL and VICReg learn from pairs of views of one object. All have the same encoder with the same
first weights, the same pool, as many views in a step, and as many training FLOPs, counted by torch. Rates,
momenta and weights were searched with seed 100, which is never scored (`invariance_figures.SEARCH`).

Two departures from the paper, both with and without actions alike. Every method's encoder, which unlike a
ResNet normalises over the batch nowhere, is closed by a batch normalisation without parameters. And
seq-JEPA's loss has VICReg's covariance term on the codes: in so few steps the slow target alone let the
codes shrink to a few dimensions that told the class.

Measured on objects that neither training nor a probe has seen, of which probe-training objects are apart
(each set has a word of its own):
- class: top-1 of a linear classifier (logistic regression) on the aggregate of 1, 3 and 5 views, on the code
  of one view, and on the mean of an object's 5 codes, which baselines are given for fairness;
- relative rotation: R2 of the quaternion (w, x, y, z), w >= 0, from the concatenated codes of two views, by
  a perceptron of three layers (the paper's) and by ridge regression. It is in the camera's coordinates;
- individual rotation: the same from the code of one view. It counts from how each class is stored, so that a
  probe must know the class;
- the same on three classes that training never shows, with probes fitted on other objects of those classes.
A sample is an object: its views or pairs are averaged before the interval is made.

Baselines: SimCLR, BYOL, VICReg, seq-JEPA without actions, an untrained seq-JEPA, principal components of the
pixels. Nulls: the probes fitted on shuffled targets.

Goals, set beforehand: relative rotation R2 (perceptron) of seq-JEPA of 3 views at least 0.70, and at least
0.3 above the same without actions; top-1 from its aggregate of 5 views not below SimCLR's and VICReg's, each
by the better of one code and the mean code; and top-1 rises from 1 to 5 views.
"""

from dataclasses import dataclass

import numpy as np

from agents.models.seq_jepa import SeqJepa
from env.objects.dataset import ObjectsConfig, ObjectViews
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.invariance_equivariance.data import (
    PROBE,
    SCORING,
    TRAINING,
    UNSEEN_PROBE,
    UNSEEN_SCORING,
    drawn,
)
from social_jepa.experiments.invariance_equivariance.metrics import figures, notes
from social_jepa.experiments.invariance_equivariance.plots import pictures
from social_jepa.experiments.invariance_equivariance.scores import (
    Encode,
    Sets,
    aggregate_scores,
    code_scores,
    encoder_of,
    neighbours,
    pixel_pca,
    prefixed,
)
from social_jepa.experiments.invariance_equivariance.training import (
    PARTS,
    RECIPES,
    Model,
    Sizes,
    prepared,
    train,
)

TEST_VIEWS = 5  # of each probe and scoring object


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    renderer: str = "toy"  # solids, each face of its own colour; or miniworld, textured meshes
    frame_size: int = 32  # pixels
    turn: float = 45.0  # degrees either way about each axis
    scale: float = 0.9  # smallest size in a view; the largest is 1
    light: float = 20.0  # degrees that the light strays
    background: float = 0.1  # how far each colour part of the background strays
    objects: int = 3000  # of the training pool
    views: int = 4  # of each: the longest sequence and its target
    probe_objects: int = 800  # that probes are fitted on
    scoring_objects: int = 500
    unseen_objects: int = 300  # of unseen classes, for probes; as many for scoring
    dim: int = 64  # of a code
    width: int = 32  # channels of the first convolution
    hidden: int = 256  # units between the convolutions and the code
    frames: int = 128  # views of a training step
    teraflops: float = 3.0  # of each training
    probe_steps: int = 300
    probe_hidden: int = 1024

    @property
    def objects_config(self) -> ObjectsConfig:
        """What is drawn."""
        return ObjectsConfig(
            self.renderer,
            self.frame_size,
            max_rotation=self.turn,
            min_scale=self.scale,
            max_light_angle=self.light,
            background_range=self.background,
        )

    @property
    def sizes(self) -> Sizes:
        """What all methods have in common."""
        return Sizes(self.frame_size, self.dim, self.width, self.hidden, self.frames, self.teraflops)


QUICK = {
    "objects": 150, "probe_objects": 100, "scoring_objects": 60,
    "unseen_objects": 40, "dim": 32, "width": 16, "hidden": 64, "frames": 128, "teraflops": 0.03,
    "probe_steps": 60, "probe_hidden": 128,
}  # fmt: skip


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Train one method, freeze it and score it.

    Args:
        part: One of PARTS.
        seed: Of objects, weights, order and probes.
        settings: Of the run.
        say: Told how it goes.
    """
    pool = _drawn(settings, seed, TRAINING)
    arrays, flops = {"views": pool.frames[:6]}, 0.0
    if part == "pixel-pca":
        model, encode = None, pixel_pca(pool.frames[:, 0], settings.dim)
    else:
        if part == "untrained":
            model = prepared(part, pool, settings.sizes, seed)
        else:
            model, curves, flops, steps = train(part, pool, settings.sizes, RECIPES[part], seed, say)
            arrays["loss"] = np.array(next(iter(curves.values())))
            say(f"trained for {steps} steps, {flops:.3g} FLOPs")
        encode = encoder_of(model)
    seen = Sets(_drawn(settings, seed, PROBE), _drawn(settings, seed, SCORING))
    measures = _scores(encode, model, seen, settings, (seed, 0))
    say(f"relative rotation R2 {measures['relative, perceptron'].score:.3f}")
    unseen = Sets(_drawn(settings, seed, UNSEEN_PROBE), _drawn(settings, seed, UNSEEN_SCORING))
    measures |= prefixed("unseen: ", _scores(encode, model, unseen, settings, (seed, 1)))
    arrays["neighbours"] = neighbours(encode, seen.scoring, queries=4, nearest=5)
    return ConditionResult(measures, arrays, flops=flops)


def _drawn(settings: Settings, seed: int, purpose: int) -> ObjectViews:
    sizes = {
        TRAINING: settings.objects, PROBE: settings.probe_objects, SCORING: settings.scoring_objects,
    }  # fmt: skip
    objects = sizes.get(purpose, settings.unseen_objects)
    views = settings.views if purpose == TRAINING else TEST_VIEWS
    split = "seen" if purpose in sizes else "unseen"
    return drawn(settings.objects_config, (seed, purpose), objects, views, split)


def _scores(
    encode: Encode, model: Model | None, sets: Sets, settings: Settings, words: tuple[int, ...]
) -> dict[str, Score]:
    scores = code_scores(encode, sets, words, settings.probe_steps, settings.probe_hidden)
    return scores | (aggregate_scores(model, sets) if isinstance(model, SeqJepa) else {})


EXPERIMENT = Experiment(
    name="invariance-equivariance",
    question="Does predicting under known rotations keep rotation in the codes and class in the aggregate?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: PARTS,
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)

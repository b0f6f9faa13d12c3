"""Does the aggregate know where a sequence of views has led, and does it need both the views and the actions?

After the figure on path integration in seq-JEPA (arXiv:2505.03176).

Protocol. Two worlds, one model each and no class in sight. *Glances*: one camera looks in independent
directions while the scene stands still; an action is the relative (pan, tilt). *Rotation*: one object is
seen under independent rotations, with lights, backgrounds and sizes of their own; an action is the
quaternion between two views. seq-JEPA trains as in the paper, to predict the code of the next view, with a
number of context views that each step draws anew from 1 to 8 (the paper keeps it fixed), so that no test
length is new to the aggregator. Then it is frozen.

Measured. "n views" are n views that an action leads away from, as in the paper, where one view and one
action already give R2 1: the aggregate gathers n + 1 views and n actions, and the target is what the n
actions come to, from the first view to the last: their sum, or for rotations their composition
(quaternion, w >= 0). R2 is scored on sequences of other ticks (another 1,000 ticks away) or other objects;
the probe, a perceptron of three layers of 256 units, is fitted on a third set. Ridge regression stands
beside it.

Ablations are made on the one frozen model, and the probe is fitted under the same ablation: *action only*
shows it the mean training picture in place of each view, *vision only* tells it the mean training action in
place of each action. No model is trained for an ablation. Added after the search, and without a goal:
*action, others' views* keeps the actions and shows the views of another sequence, so that the views are as
noisy as real ones and of no use.

Baselines: action only, vision only, and the untrained model with both inputs. Null: the probe that sees
both, fitted on shuffled targets.

Goals, set beforehand: at 7 glances R2 with both inputs at least 0.85, and above that of actions alone. A
limit is known beforehand too: the aggregator averages tokens that carry no position, so that a sum of
actions can fade as the sequence grows, as it does in the paper (0.78 for actions alone at 7).
"""

from dataclasses import dataclass

import numpy as np

from agents.models.seq_jepa import SeqJepa
from env.objects.dataset import ObjectsConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.probes import apply_in_chunks, linear_probe, mlp_probe
from social_jepa.experiments.framework.experiment import (
    ConditionResult,
    Experiment,
    Log,
    Metric,
    Results,
    Threshold,
    missed_thresholds,
)
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.invariance_equivariance.data import shuffled
from social_jepa.experiments.path_integration.data import Paths, glance_paths, rotation_paths
from social_jepa.experiments.path_integration.plots import pictures
from social_jepa.experiments.path_integration.training import PathSizes, build, train

WORLDS = ("glances", "rotation")
INPUTS = ("vision and action", "action only", "vision only", "action, others' views")
PROBING, SHUFFLING = 33, 34  # words
SEARCH = (
    "Search, on glances of seed 100 alone: rate, steps, number of probe-training sequences, and the share of "
    "a token that is an action, three settings in all."
)
ALONE = (
    "Actions beside one constant picture are averaged without noise, so that a probe reads their sum almost "
    "perfectly at every length: nothing can lie above. In the paper they fade to 0.78. Real views add noise "
    "to the average, and what the untrained model gives shows that training does not preserve the sum better."
)


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    renderer: str = "toy"
    frame_size: int = 32  # pixels
    longest: int = 7  # views that an action leads away from
    reach: float = 15.0  # degrees, the widest glance
    turn: float = 45.0  # degrees either way about each axis
    scale: float = 0.9  # smallest size in a view; the largest is 1
    light: float = 20.0  # degrees that the light strays
    background: float = 0.1  # how far each colour part of the background strays
    training: int = 3000  # sequences
    probing: int = 2500
    scoring: int = 600
    dim: int = 64  # of a code
    width: int = 32  # channels of the first convolution
    hidden: int = 256  # units between the convolutions and the code
    frames: int = 256  # views of a training step
    steps: int = 600
    learning_rate: float = 1e-3
    momentum: float = 0.97  # of the target network at the first step; it rises to 1 along a cosine
    covariance: float = 0.02  # weight of VICReg's covariance term on the codes
    probe_steps: int = 300
    probe_hidden: int = 256

    @property
    def sizes(self) -> PathSizes:
        """What training needs to know."""
        return PathSizes(
            self.frame_size, self.dim, self.width, self.hidden, self.longest + 1, self.frames, self.steps,
            self.learning_rate, self.momentum, self.covariance,
        )  # fmt: skip


QUICK = {
    "training": 200, "probing": 150, "scoring": 100, "dim": 32,
    "width": 16, "hidden": 64, "frames": 160, "steps": 60, "probe_steps": 80, "probe_hidden": 64,
}  # fmt: skip


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Train one model in one world, freeze it, and read where it has come to.

    Args:
        part: glances or rotation.
        seed: Of the world, the weights, the order and the probes.
        settings: Of the run.
        say: Told how it goes.
    """
    training, probe, scoring = _paths(part, seed, settings)
    model, flops = train(training, settings.sizes, seed, say)
    mean_frame = training.frames.reshape(-1, *training.frames.shape[2:]).mean(0).round().astype(np.uint8)
    mean_action = training.actions.mean((0, 1))
    measures: dict[str, Score] = {}
    first = build(training, settings.sizes, seed)
    for moves in range(1, settings.longest + 1):
        y, true = probe.summed(moves), scoring.summed(moves)
        for inputs in INPUTS:
            x, seen = (
                gathered(model, ablated(paths.head(moves + 1), inputs, mean_frame, mean_action))
                for paths in (probe, scoring)
            )
            measures |= _fitted(inputs, moves, x, y, seen, true, settings, seed)
            if inputs == INPUTS[0]:
                wrong = shuffled(np.random.default_rng([seed, SHUFFLING, moves]), y)
                measures[f"shuffled, {moves}"] = Score.r2(linear_probe(x, wrong)(seen), true)
        x, seen = (gathered(first, paths.head(moves + 1)) for paths in (probe, scoring))
        measures |= _fitted("untrained", moves, x, y, seen, true, settings, seed)
        say(f"{moves} views: R2 {measures[f'{INPUTS[0]}, {moves}'].score:.3f}")
    return ConditionResult(measures, {"views": training.frames[:3]}, flops=flops)


def ablated(paths: Paths, inputs: str, mean_frame: np.ndarray, mean_action: np.ndarray) -> Paths:
    """Return sequences whose views or actions are replaced by what training saw on average.

    Args:
        paths: Sequences.
        inputs: One of INPUTS.
        mean_frame: uint8 [H, W, 3].
        mean_action: [A].
    """
    frames, actions = paths.frames, paths.actions
    if inputs == "action only":
        frames = np.broadcast_to(mean_frame, frames.shape)
    if inputs == "action, others' views":
        frames = np.roll(frames, 1, axis=0)
    if inputs == "vision only":
        actions = np.broadcast_to(mean_action, actions.shape)
    return Paths(frames, actions, paths.places)


def gathered(model: SeqJepa, paths: Paths) -> np.ndarray:
    """Return the aggregates of whole sequences, [N, D_agg]."""
    return apply_in_chunks(model.aggregate, paths.frames, paths.actions, rows=128)


def _paths(part: str, seed: int, settings: Settings) -> tuple[Paths, Paths, Paths]:
    counts = (settings.training, settings.probing, settings.scoring)
    if part == "glances":
        scene = SceneConfig(renderer=settings.renderer, frame_size=settings.frame_size)
        return glance_paths(scene, settings.reach, seed, counts, settings.longest + 2)
    config = ObjectsConfig(
        settings.renderer, settings.frame_size, max_rotation=settings.turn, min_scale=settings.scale,
        max_light_angle=settings.light, background_range=settings.background,
    )  # fmt: skip
    return rotation_paths(config, seed, counts, settings.longest + 2)


def _fitted(
    inputs: str, moves: int, x: np.ndarray, y: np.ndarray, seen: np.ndarray, true: np.ndarray,
    settings: Settings, seed: int,
) -> dict[str, Score]:  # fmt: skip
    words = [seed, PROBING, moves]
    probe = mlp_probe(x, y, words, settings.probe_steps, hidden=settings.probe_hidden)
    return {
        f"{inputs}, {moves}": Score.r2(probe(seen), true),
        f"{inputs}, {moves}, linear": Score.r2(linear_probe(x, y)(seen), true),
    }


def _null(results: Results, world: str, moves: int) -> float:
    """The mean over seeds; a null needs no interval."""
    return results.mean(world, f"shuffled, {moves}")


def figures(results: Results, settings: Settings) -> list[Metric]:
    """Return the goals' figures first, then every world, input and length."""
    longest = settings.longest
    both, alone = (results.estimate("glances", f"{inputs}, {longest}") for inputs in INPUTS[:2])
    null = _null(results, "glances", longest)
    found = [
        Metric(f"R2 at {longest} glances", both, null, alone.value, Threshold(">=", 0.85), "goals"),
        Metric("the same minus action only", both - alone, 0.0, threshold=Threshold(">", 0.0), group="goals"),
    ]
    for world in WORLDS:
        for inputs in (*INPUTS, "untrained"):
            for moves in range(1, longest + 1):
                null = _null(results, world, moves)
                for ending in ("", ", linear"):
                    name = f"{inputs}, {moves}{ending}"
                    found.append(Metric(f"{world}: {name}", results.estimate(world, name), null, group=world))
    return found


def notes(results: Results, settings: Settings) -> list[str]:
    """Return what the trainings cost, how the search went, and by how much goals are missed."""
    spent = ", ".join(
        f"{world} {results.condition_results[world, results.seeds[0]].flops / 1e12:.2f}" for world in WORLDS
    )
    return [
        f"Counted training TFLOPs, seed {results.seeds[0]}: {spent}.",
        SEARCH,
        ALONE,
        *missed_thresholds(figures(results, settings)),
    ]


EXPERIMENT = Experiment(
    name="path-integration",
    question="Does the aggregate know where a sequence has led, and does it need both views and actions?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: WORLDS,
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)

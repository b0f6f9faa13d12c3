"""Do predictors and plans travel between agents that learned the same scene alone?

After latent planning with a JEPA, and the identifiability of controlled world models (arXiv:2607.22430):
where agents' cores differ by an orthogonal map, so do their dynamics, and what one knows of them is of use
to the other.

Protocol. Two agents learn one scene, each from its own camera, 180 or 90 degrees apart; they share no
weights, no seed and no order of data, and compare 256 anchors, on which one orthogonal map W between their
cores is fitted; its inverse leads back. Each agent then fits predictors of its own core on its own ticks of
training: by least squares, z' = z A + a B + c, where a are the pushes that moved the objects (known, as to
an agent that made them), by a perceptron of the same inputs, and by least squares without pushes
(*passive*).

*Predictors.* A borrower's core is sent into the lender's, rolled out there by the lender's predictor, and
sent back. Its error k = 1 ... 10 ticks ahead, pushes given, is compared with that of the borrower's own
predictor, on consecutive ticks that no agent trained on and no map was fitted on. The ratio of squared
errors is 1 where borrowing costs nothing.

*Plans.* The first object goes where it is pushed (as in ``env.gym.steering``, pushes of at most one standard
deviation of the scene's own); the others go their way. An agent looks with its own camera at each tick and
plans by the cross-entropy method with a linear predictor that knows of the first object's pushes alone.
Distances in the core count only along the directions that those pushes move, which the predictor tells. The
goal is a picture of a held-out tick, in which all objects stand elsewhere. It succeeds if after 10 ticks the
object is within 0.15 of its place in that picture (places reach from -1 to 1; the true place is for
evaluation only). Arms: *own goal*, the picture is from the agent's own camera; *other's goal*, it is from
the other camera, embedded by the other agent and sent through W; *other's predictor*, the goal is its own
and the predictor is borrowed through W.

Both directions of a pair count alike; one and the same starts, goals and ticks serve all arms.

Nulls: a map fitted on shuffled pairs and its inverse, and for plans random pushes. Baselines: one's own
predictor or goal; the last code copied; no map at all (axes taken as they are); for plans, an agent that is
told the true state, the ceiling.

What is known beforehand. All coordinates of the scene forget alike, so that passive A is close to a multiple
of the identity: it commutes with every rotation, and a passive predictor travels without a map. It is shown
beside its nulls and has no goal. With pushes, B carries the axes, and only the right map brings it over.

Goals, set beforehand: 5 ticks ahead, the borrowed linear predictor's squared error is at most 1.15 of one's
own; and success with the other's goal is at least 0.90 of that with one's own.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from alignment.linear_map import LinearMap
from social_jepa.experiments.common.pairs import edge_r2, fit_edge, fit_shuffled
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup, ring_poses
from social_jepa.experiments.dynamics.metrics import figures, notes
from social_jepa.experiments.dynamics.plots import pictures
from social_jepa.experiments.dynamics.predictors import (
    Diary,
    Predict,
    keep_diary,
    linear_predictor,
    perceptron_predictor,
)
from social_jepa.experiments.dynamics.scores import AHEAD, KINDS, MAPS, borrowing, steering
from social_jepa.experiments.dynamics.steering import SteeringConfig
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    upbringing: AgentSetup = field(default_factory=AgentSetup)
    separations: tuple[float, ...] = (180.0, 90.0)  # degrees between the two cameras, a part each
    trained: int = 8192  # ticks that predictors are fitted on
    longest: int = 10  # ticks ahead
    hidden: int = 64  # units of the perceptron
    steps: int = 800  # of its training
    steering: SteeringConfig = field(default_factory=SteeringConfig)

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        if self.longest < AHEAD or not self.separations:
            raise ValueError(f"longest must be at least {AHEAD}, with one separation or more, got {self}")
        if self.trained < 2:
            raise ValueError(f"trained={self.trained}: a predictor is fitted on at least two ticks in a row")
        held = (
            self.upbringing.negotiation.pool_ticks * self.upbringing.negotiation.pool_stride
            - self.steering.ticks
        )
        if 2 * self.steering.episodes > held:
            raise ValueError(
                f"steering.episodes={self.steering.episodes}: starts and goals need two each of {held} ticks"
            )


def parts_of(settings: Settings) -> tuple[str, ...]:
    """Return a part for each pair of cameras."""
    return tuple(f"{degrees:g} degrees" for degrees in settings.separations)


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Raise two agents, and let each borrow the other's predictor and goals.

    Args:
        part: How far apart their cameras stand.
        seed: Of the world, the agents and the plans.
        settings: Of the run.
        say: Told how it goes.
    """
    degrees = settings.separations[parts_of(settings).index(part)]
    upbringing = replace(settings.upbringing, ring=replace(settings.upbringing.ring, separation=degrees))
    poses = ring_poses(upbringing, 2)
    diaries = [keep_diary(upbringing, seed, index, poses, settings.trained, say) for index in range(2)]
    fitted = [predictors(diary, settings, seed, say) for diary in diaries]
    found: list[dict[str, Score]] = []
    seen: list[dict[str, np.ndarray]] = []
    for i, j in ((0, 1), (1, 0)):
        lender, borrower = diaries[i], diaries[j]
        maps = maps_between(lender, borrower, seed, upbringing.negotiation.anchors)
        kinds = {kind: (lent, fitted[j][0][kind][0], felt) for kind, (lent, felt) in fitted[i][0].items()}
        predicted = borrowing(borrower, maps, kinds, settings.longest, upbringing.negotiation.pool_stride)
        steered, arrays = steering(lender, borrower, maps, settings.steering, seed)
        worth = {
            f"map: {name}": edge_r2(edge, lender.stranger, borrower.stranger) for name, edge in maps.items()
        }
        found.append(predicted | steered | worth)
        seen.append(arrays)
        say(_told(found[-1]))
    flops = sum(diary.stranger.flops for diary in diaries) + sum(spent for _, spent in fitted)
    measures = {name: Score.average([one[name] for one in found]) for name in found[0]}
    far = {name: (seen[0][name] + seen[1][name]) / 2 for name in seen[0] if name.startswith("distance")}
    return ConditionResult(measures, seen[0] | far, flops=flops)


def predictors(
    diary: Diary, settings: Settings, seed: int, say: Log
) -> tuple[dict[str, tuple[Predict, int]], float]:
    """Return an agent's predictors of its own core by KINDS, and counted FLOPs of training the perceptron."""
    felt = 2 * settings.upbringing.scene.objects
    net, flops = perceptron_predictor(diary, felt, settings.hidden, settings.steps, seed, say)
    linear, passive = linear_predictor(diary, felt), linear_predictor(diary, 0)
    return dict(zip(KINDS, ((linear, felt), (net, felt), (passive, 0)), strict=True)), flops


def maps_between(lender: Diary, borrower: Diary, seed: int, anchors: int) -> dict[str, LinearMap]:
    """Return by MAPS the map from a lender's core to a borrower's, and what may stand in its place."""
    source, target = lender.stranger, borrower.stranger
    eye = torch.eye(source.core_dim, target.core_dim, dtype=torch.float64)
    unmapped = LinearMap(eye, torch.zeros(target.core_dim, dtype=torch.float64))
    fitted, null = (fit(source, target, anchors, seed) for fit in (fit_edge, fit_shuffled))
    return dict(zip(MAPS, (fitted, unmapped, null), strict=True))


def _told(measures: dict[str, Score]) -> str:
    ratio = 1 - measures[f"linear: excess of borrowed, {AHEAD}"].score
    own, others = (measures[arm].score for arm in ("own goal", "other's goal"))
    return f"error borrowed / own {ratio:.3f}; success {own:.2f} own goal, {others:.2f} other's goal"


EXPERIMENT = Experiment(
    name="dynamics",
    question="Do predictors and plans travel between agents that learned the same scene alone?",
    settings=Settings,
    quick={
        "upbringing": QUICK_SETUP, "trained": 2048, "hidden": 32, "steps": 200,
        "steering": {"episodes": 30, "population": 50},
    },
    conditions=parts_of,
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)  # fmt: skip

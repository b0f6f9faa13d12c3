"""How far apart may two views be, and how little of the scene may they share?

Protocol. Agents learn one scene alone: three boxes that move at random. They share no weights, no seed and
no order of data. One is the reference; every other one differs from it in its camera alone. A map between
the two predictable cores is fitted on anchors of one stretch of time and scored on ticks of another, in
both directions. No agent has a body in this scene, so that no camera stands in another's.

Parts. *separation*: cameras of the reference's ring, 0 to 180 degrees further along; at 0 the pictures are
equal and only the learning differs. *others*: 90 degrees along the ring, one camera high above it that looks
down steeply, one with a narrow and one with a wide field of view, and one *behind a wall*.

Overlap is measured by rays from the reference's camera: the share of its pixels whose point on floor, wall or
box falls into the other picture and is not hidden there; of all pixels that show something, and of those that
show an object. The room's walls are seen from inside only, as MiniWorld draws them.

The wall is not a thing in the room. One object is never drawn for one agent, which is what a wall does to its
pictures, but for what that object would itself have hidden. A core of 6 dimensions then meets one of 4. The
*dimensions shared* are the canonical correlations, between the reference's core and all that the other agent
has, that lie above the largest of 400 shuffles; directions come from the ticks that maps are fitted on,
correlations from those that score. The map into the smaller core splits the reference's core: directions that
it takes along are *aligned*, the rest are *refused*. Linear probes say which objects either knows of. From 4
dimensions into 6, no map reaches an R2 above 4/6. The true state is for these probes alone.

Nulls: as many pairs, shuffled; of a map's R2 the mean over 16 choices of pairs, each shuffled in its own way,
because the map of one shuffle may fit by luck. Baselines: two untrained agents at the farthest separation,
asked in the same way; for the dimensions shared, the high camera, whose view no wall hides; for the hidden
object, a probe of the agent that sees it.

Goals, set beforehand: R2 of the core at 180 degrees from 64 pairs at least 0.92, mean of both directions;
across the wall exactly 4 dimensions shared, R2 of the map into the smaller core at least 0.9, and R2 of the
hidden object's place from the agent that cannot see it at most 0.05.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.viewpoint.metrics import figures, notes
from social_jepa.experiments.viewpoint.plots import pictures
from social_jepa.experiments.viewpoint.views import (
    WALL,
    View,
    Witness,
    agreement,
    both_ways,
    choices,
    degrees_name,
    edge_scores,
    overlap_scores,
    raise_witness,
    turned,
)
from social_jepa.experiments.viewpoint.wall import shared_directions, verdict, wall_scores

PARTS = ("separation", "others")
SMALL: Mapping[str, Any] = {
    "upbringing": {
        **QUICK_SETUP,
        "scene": {"renderer": "toy", "frame_size": 32, "objects": 2},
        "model": {"dim": 10, "width": 16, "hidden": 64},
        "training": {"steps": 250, "segments": 32, "replay_ticks": 6144, "core_eval_ticks": 1024},
    },
    "hidden": 1, "pairs": 32, "ticks": 20,
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    upbringing: AgentSetup = field(default_factory=AgentSetup)
    separations: tuple[float, ...] = (0, 30, 60, 90, 135, 180)  # degrees along the ring
    turn: float = 90.0  # degrees along the ring to the other cameras
    height: float = 5.0  # metres, of the high camera
    pitch: float = -48.0  # degrees, of the high camera
    narrow: float = 45.0  # degrees of view
    wide: float = 90.0
    hidden: int = 2  # number of the object behind the wall
    pairs: int = 64  # that a map is fitted on
    few: int = 8  # the same, where pairs are scarce
    ticks: int = 50  # that overlap is measured at

    def __post_init__(self) -> None:
        """Refuse what cannot be compared, by name."""
        objects = self.upbringing.scene.objects
        if objects < 2 or not 0 <= self.hidden < objects:
            raise ValueError(
                f"hidden={self.hidden}: one of at least two objects, upbringing.scene.objects={objects}"
            )
        if not self.separations or not all(0 <= degrees <= 180 for degrees in (*self.separations, self.turn)):
            raise ValueError(
                f"separations={self.separations}, turn={self.turn}: from 0 to 180 degrees, and at least one"
            )
        if not 1 <= self.few <= self.pairs <= self.upbringing.negotiation.pool_ticks:
            raise ValueError(
                f"few={self.few}, pairs={self.pairs}: from 1 to upbringing.negotiation.pool_ticks="
                f"{self.upbringing.negotiation.pool_ticks}, and few at most pairs"
            )
        if self.ticks < 1:
            raise ValueError(f"ticks={self.ticks}: at least 1")

    @property
    def farthest(self) -> str:
        """The name of the view that is farthest along the ring."""
        return degrees_name(max(self.separations))


def views_of(part: str, settings: Settings) -> list[View]:
    """Return the views of a part, the reference first."""
    ring = settings.upbringing.ring
    side = turned(ring, settings.turn)
    if part == "separation":
        names = [degrees_name(degrees) for degrees in settings.separations]
        poses = [turned(ring, degrees) for degrees in settings.separations]
        views = [
            View(name, pose, newborn=name == settings.farthest)
            for name, pose in zip(names, poses, strict=True)
        ]
        return [View("reference", turned(ring, 0), newborn=True), *views]
    return [
        View("reference", turned(ring, 0)),
        View("high", replace(side, y=settings.height, pitch=settings.pitch)),
        View("narrow", replace(side, fov=settings.narrow)),
        View("wide", replace(side, fov=settings.wide)),
        View(WALL, side, hidden=(settings.hidden,)),
    ]


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Train the reference and all other views of a part, one after the other, and compare them with it.

    Args:
        part: separation or others.
        seed: Of the scene, the agents, the pairs and the shuffles.
        settings: Of the run.
        say: Told how it goes.
    """
    views = views_of(part, settings)
    raised = [raise_witness(settings.upbringing, seed, index, views, say) for index in range(len(views))]
    first = raised[0].stranger
    measures: dict[str, Score] = {}
    arrays = {"frames": np.stack([witness.frame for witness in raised])}
    for view, witness in zip(views[1:], raised[1:], strict=True):
        found, extra = edge_scores(view.name, first, witness.stranger, settings.pairs, settings.few, seed)
        measures |= found | overlap_scores(first, view, views[0].pose, settings.ticks)
        arrays |= extra
        if view.newborn and raised[0].newborn is not None and witness.newborn is not None:
            measures["untrained"] = both_ways(raised[0].newborn, witness.newborn, settings.pairs, [seed])
        if view.hidden:
            found, extra = across_wall(raised, settings, seed)
            measures |= found
            arrays |= extra
    return ConditionResult(measures, arrays, flops=sum(witness.stranger.flops for witness in raised))


def across_wall(
    raised: list[Witness], settings: Settings, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return what the reference, first of all, and the agent behind the wall, last, make of each other."""
    seer, open_view, blind = raised[0], raised[1], raised[-1]
    measures, arrays = wall_scores(seer.stranger, blind.stranger, settings.hidden, settings.pairs, seed)
    some = [agreement(seer.stranger, blind.stranger, settings.few, each) for each in choices(seed)]
    measures["to blind, few"] = Score.average(some)
    correlations, chance = shared_directions(seer.stranger, open_view.stranger, seed)
    measures["shared without a wall"] = Score.single(int((correlations > chance).sum()))
    arrays["correlations without a wall"] = correlations.numpy()
    arrays["verdicts"] = np.array([verdict(seer.talk, blind.talk), verdict(blind.talk, seer.talk)])
    return measures, arrays


EXPERIMENT = Experiment(
    name="viewpoint",
    question="How far apart may two views be, and how little of the scene may they share?",
    settings=Settings,
    quick=SMALL,
    conditions=lambda settings: PARTS,
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)

"""How far apart may two views be, and how little of the scene may they share?

Protocol. Agents are trained alone on one scene: three boxes that move at random. They share no weights, no
seed and no data order. One is the reference; every other one differs from it in its camera alone. A map
between the two predictable cores is fitted on anchors of one range of ticks and scored on ticks of another,
in both directions. Agents have no bodies in this scene, so that no agent is visible to another.

Conditions. *separation*: cameras on the reference's ring, 0 to 180 degrees along it; at 0 the views are
equal and only the training differs. *cameras*: 90 degrees along the ring, one camera high above it that
points steeply down, one with a narrow and one with a wide field of view, and one *behind a wall*.

Overlap is measured by rays from the reference's camera: the share of its pixels whose point on floor, wall
or box falls into the other view and is not hidden there; of all pixels that show something, and of those
that show an object. The room's walls are visible from inside only, as MiniWorld draws them.

The wall is not an object in the room. One object is never drawn for one agent, which has the effect of a
wall on its views, except for what that object would itself have hidden. A core of 6 dimensions then meets
one of 4. The *dimensions shared* are the canonical correlations, between the reference's core and all
latents of the other agent, that exceed the largest of 400 shuffles; directions come from the ticks that maps
are fitted on, correlations from held-out ticks. The map into the smaller core splits the reference's core
into directions that it reads (*mapped*) and its *null space*. Linear probes measure which objects each of
them encodes. From 4 dimensions into 6, no map reaches an R2 above 4/6. The true state is used by these
probes alone.

Nulls: as many pairs, shuffled; for the R2 of a map the mean over 16 choices of pairs, each shuffled
differently, because the map of one shuffle may fit by chance. Baselines: two untrained encoders, two pixel
PCAs and linear tICA at the farthest separation, on as many leading axes as the scene has factors, scored in
the same way; for the dimensions shared, the high camera, whose view has no wall; for the hidden object, a
probe of the agent that sees it.

Thresholds, set beforehand: R2 of the core at 180 degrees from 64 pairs at least 0.92, mean of both
directions; across the wall exactly 4 dimensions shared, R2 of the map into the smaller core at least 0.9,
and R2 of the hidden object's position from the agent that cannot see it at most 0.05.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from social_jepa.experiments.common.similarity_baselines import baseline_scores
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.viewpoint.describe import describe_methods
from social_jepa.experiments.viewpoint.metrics import make_metrics, make_notes
from social_jepa.experiments.viewpoint.plots import make_plots
from social_jepa.experiments.viewpoint.settings import QUICK, Settings
from social_jepa.experiments.viewpoint.views import (
    WALL,
    View,
    ViewAgent,
    agreement,
    baseline_views,
    edge_scores,
    overlap_scores,
    pair_seeds,
    pose_at,
    train_view,
)
from social_jepa.experiments.viewpoint.wall import negotiate_edge, shared_correlations, wall_scores

CONDITIONS = ("separation", "cameras")


def list_views(condition: str, settings: Settings) -> list[View]:
    """Return the views of a condition, the reference first."""
    ring = settings.setup.ring
    side = pose_at(ring, settings.camera_angle)
    if condition == "separation":
        poses = [pose_at(ring, degrees) for degrees in settings.separations]
        views = [View(name, pose) for name, pose in zip(settings.view_names, poses, strict=True)]
        return [View("reference", pose_at(ring, 0)), *views]
    high = replace(side, y=settings.high_camera_height, pitch=settings.high_camera_pitch)
    return [
        View("reference", pose_at(ring, 0)),
        View("high", high),
        View("narrow", replace(side, fov=settings.narrow_fov)),
        View("wide", replace(side, fov=settings.wide_fov)),
        View(WALL, side, hidden=(settings.hidden_object,)),
    ]


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the reference and all other views of a condition, and score the edges between them.

    Args:
        condition: separation or cameras.
        seed: Seed of the scene, the agents, the pairs and the shuffles.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    views = list_views(condition, settings)
    agents = [train_view(settings.setup, seed, index, views, log) for index in range(len(views))]
    reference = agents[0].trained
    scores: dict[str, Score] = {}
    arrays = {"frames": np.stack([agent.frame for agent in agents])}
    for view, agent in zip(views[1:], agents[1:], strict=True):
        found, extra = edge_scores(
            view.name, reference, agent.trained, settings.pairs, settings.few_pairs, seed
        )
        scores |= found | overlap_scores(reference, view, views[0].pose, settings.overlap_ticks)
        arrays |= extra
        if view.hidden:
            found, extra = run_wall(agents, settings, seed)
            scores |= found
            arrays |= extra
    if condition == "separation":
        scores |= farthest_baselines(views, settings, seed, log)
    return ConditionResult(scores, arrays, flops=sum(agent.trained.flops for agent in agents))


def farthest_baselines(views: list[View], settings: Settings, seed: int, log: Log) -> dict[str, Score]:
    """Return the scores of the edge to the farthest view for agents that learned nothing."""
    name = settings.farthest
    place = [view.name for view in views].index(name)
    agents = baseline_views(settings.setup, seed, (0, place), views, log)

    def score(pair: Sequence[TrainedAgent]) -> dict[str, Score]:
        return edge_scores(name, pair[0], pair[1], settings.pairs, settings.few_pairs, seed)[0]

    return baseline_scores(agents, score)


def run_wall(
    agents: list[ViewAgent], settings: Settings, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return scores and arrays of the edges between the reference and the agent behind the wall, the last."""
    full, high, occluded = agents[0], agents[1], agents[-1]
    scores, arrays = wall_scores(full.trained, occluded.trained, settings.hidden_object, settings.pairs, seed)
    few = [agreement(full.trained, occluded.trained, settings.few_pairs, each) for each in pair_seeds(seed)]
    scores["into occluded, few pairs"] = Score.average(few)
    correlations, null = shared_correlations(full.trained, high.trained, seed)
    scores["shared, no wall"] = Score.single(int((correlations > null).sum()))
    arrays["correlations, no wall"] = correlations.numpy()
    arrays["verdicts"] = np.array([
        negotiate_edge(full.negotiation, occluded.negotiation),
        negotiate_edge(occluded.negotiation, full.negotiation),
    ])  # fmt: skip
    return scores, arrays


EXPERIMENT = Experiment(
    name="viewpoint",
    question="How far apart may two views be, and how little of the scene may they share?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: CONDITIONS,
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
)

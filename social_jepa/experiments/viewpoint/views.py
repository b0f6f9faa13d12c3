"""The views of viewpoint: their cameras, the agents trained on them, and the scores of edges between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.agent import Agent
from agents.protocol.negotiation import Negotiation
from alignment.score import spectrum
from env.camera import Pose, RingConfig, ring_pose
from env.depth import overlap
from env.renderer import Renderer
from env.scene_state import SceneState, SceneStates
from social_jepa.experiments.common.pairs import edge_r2, fit_edge, fit_shuffled, heldout_pairs
from social_jepa.experiments.common.similarity_baselines import baseline_agents
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.framework.score import Score

PAIR_CHOICES = 16  # random choices of few or shuffled pairs that a score is averaged over
CAMERAS = ("high", "narrow", "wide")
WALL = "behind the wall"
FAR = 1000.0  # meters behind a camera, where nothing is drawn


@dataclass(frozen=True)
class View:
    """One view of the scene.

    Attributes:
        hidden: Indices of the objects that a wall hides from it.
    """

    name: str
    pose: Pose
    hidden: tuple[int, ...] = ()


class WallRenderer(Renderer):
    """A renderer that never draws the objects behind a wall."""

    def __init__(self, renderer: Renderer, hidden: Sequence[int]) -> None:
        """Wrap a renderer and hide the objects with these indices."""
        self._renderer = renderer
        self._hidden = list(hidden)

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return the view of a camera without the hidden objects, uint8 [H, W, 3]."""
        positions = state.positions.copy()
        positions[self._hidden] = _behind(pose)
        return self._renderer.render(replace(state, positions=positions), pose, viewer)

    def render_many(
        self, states: SceneStates, poses: Sequence[Pose], viewers: Sequence[str | None]
    ) -> np.ndarray:
        """Return views without the hidden objects, uint8 [N, H, W, 3]."""
        positions = states.positions.copy()
        for row, pose in enumerate(poses):
            positions[row, self._hidden] = _behind(pose)
        return self._renderer.render_many(replace(states, positions=positions), poses, viewers)

    def close(self) -> None:
        """Close the wrapped renderer."""
        self._renderer.close()


def _behind(pose: Pose) -> tuple[float, float]:
    """Return x and z of a place far behind a camera."""
    yaw = np.radians(pose.yaw)
    return pose.x - FAR * np.cos(yaw), pose.z + FAR * np.sin(yaw)


@dataclass(frozen=True, eq=False)
class ViewAgent:
    """The agent trained on one view.

    Attributes:
        trained: The trained agent.
        negotiation: Its negotiation, as in a run.
        frame: uint8 [H, W, 3], its view at a held-out tick.
    """

    trained: TrainedAgent
    negotiation: Negotiation
    frame: np.ndarray


def pose_at(ring: RingConfig, degrees: float) -> Pose:
    """Return the pose 0 to 180 degrees along the ring from the first pose."""
    return ring_pose(1, replace(ring, separation=degrees)) if degrees else ring_pose(0, ring)


def train_view(setup: AgentSetup, seed: int, index: int, views: Sequence[View], log: Log) -> ViewAgent:
    """Train one agent alone on its view, in a scene without agent bodies."""
    view = views[index]
    setup = replace(setup, scene=replace(setup.scene, bodies=False))
    with untrained_agent(setup, seed, index, [each.pose for each in views]) as agent:
        if view.hidden:
            agent.recorder.renderer = WallRenderer(agent.recorder.renderer, view.hidden)
        trained = trained_agent(agent, train_agent(agent, log))
        assert agent.negotiation is not None
        frame = agent.recorder.render_views(trained.heldout.ids[0])
        log(f"{view.name}: core of {trained.core_dim} dimensions")
        return ViewAgent(trained, agent.negotiation, frame)


def baseline_views(
    setup: AgentSetup, seed: int, indices: Sequence[int], views: Sequence[View], log: Log
) -> dict[str, list[TrainedAgent]]:
    """Return the agents of two views that learn nothing, by baseline, in a scene without agent bodies."""
    setup = replace(setup, scene=replace(setup.scene, bodies=False))

    def hide(agent: Agent, index: int) -> None:
        if views[index].hidden:
            agent.recorder.renderer = WallRenderer(agent.recorder.renderer, views[index].hidden)

    poses, axes = [view.pose for view in views], 2 * setup.scene.objects
    return baseline_agents(setup, seed, indices, poses, log, axes=axes, prepare=hide)


def agreement(
    source: TrainedAgent, target: TrainedAgent, pairs: int, seed: int, shuffled: bool = False
) -> Score:
    """Return the held-out R2 of the orthogonal map fitted on pairs, or on the same pairs shuffled.

    It is 0 where an agent collapsed, so that its core is empty.
    """
    if not (source.core_dim and target.core_dim):
        return Score(np.ones(len(target.heldout.ids)), np.ones(len(target.heldout.ids)))
    fit = fit_shuffled if shuffled else fit_edge
    return edge_r2(fit(source, target, pairs, seed), source, target)


def mean_agreement(
    a: TrainedAgent, b: TrainedAgent, pairs: int, seeds: Sequence[int], shuffled: bool = False
) -> Score:
    """Return the mean agreement over both directions and over one choice of pairs for each seed."""
    edges = [(source, target, seed) for source, target in ((a, b), (b, a)) for seed in seeds]
    return Score.average([agreement(source, target, pairs, seed, shuffled) for source, target, seed in edges])


def pair_seeds(seed: int) -> range:
    """Return the seeds of the choices of few or shuffled pairs; those of two seeds are disjoint."""
    return range(seed * PAIR_CHOICES, (seed + 1) * PAIR_CHOICES)


def edge_scores(
    name: str, a: TrainedAgent, b: TrainedAgent, pairs: int, few_pairs: int, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return the scores of the edges between two views, and the singular values of the least-squares map."""
    values = spectrum(*heldout_pairs(a, b)).numpy()
    scores = {
        f"R2, {name}": mean_agreement(a, b, pairs, [seed]),
        f"R2 from few pairs, {name}": mean_agreement(a, b, few_pairs, pair_seeds(seed)),
        f"null, {name}": mean_agreement(a, b, pairs, pair_seeds(seed), shuffled=True),
        f"smallest singular value, {name}": Score.single(values.min() if values.size else 0.0),
        f"core dimension, {name}": Score.single(b.core_dim),
    }
    return scores, {f"spectrum, {name}": values}


def overlap_scores(reference: TrainedAgent, view: View, pose: Pose, ticks: int) -> dict[str, Score]:
    """Return the overlap of a view with the view of the reference at this pose.

    Objects behind a wall count as if they were visible.
    """
    scene, ids = reference.scene, reference.heldout.ids
    states = [scene.state(tick) for tick in ids[:: max(1, len(ids) // ticks)][:ticks]]
    size = scene.config.frame_size
    found = [overlap(scene.config, state, pose, view.pose, size) for state in states]
    surfaces = [each.surface for each in found if np.isfinite(each.surface)]  # an object was visible
    return {
        f"pixels, {view.name}": Score.mean(np.array([each.pixels for each in found])),
        f"surface, {view.name}": Score.mean(np.array(surfaces or [0.0])),
    }

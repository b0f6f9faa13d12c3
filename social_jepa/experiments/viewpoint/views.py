"""The views of viewpoint: where cameras stand, who learns there, and how well two of them agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.agent import Agent
from agents.protocol.negotiation import Negotiation
from alignment.score import spectrum
from env.camera import Pose, RingConfig, ring_pose
from env.depth import overlap
from env.renderers.base import Renderer
from env.scene import SceneState
from social_jepa.experiments.common.pairs import edge_r2, fit_edge, fit_shuffled, heldout_pairs
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.framework.score import Score

DRAWS = 16  # choices of the few pairs and of shuffled ones: a single choice says more about luck
CAMERAS = ("high", "narrow", "wide")
WALL = "behind the wall"
FAR = 1000.0  # metres behind a camera, where nothing is drawn


@dataclass(frozen=True)
class View:
    """One way to see the scene.

    Attributes:
        hidden: Numbers of the objects that a wall hides from it.
        newborn: Whether its untrained encoder is asked too.
    """

    name: str
    pose: Pose
    hidden: tuple[int, ...] = ()
    newborn: bool = False


class Walled:
    """A renderer behind a wall: objects that it hides are never drawn."""

    def __init__(self, renderer: Renderer, hidden: Sequence[int]) -> None:
        """Stand in for a renderer, which its owner closes."""
        self._renderer = renderer
        self._hidden = list(hidden)

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return what a camera sees past the wall, uint8 [H, W, 3]."""
        yaw, positions = np.radians(pose.yaw), state.positions.copy()
        positions[self._hidden] = pose.x - FAR * np.cos(yaw), pose.z + FAR * np.sin(yaw)
        return self._renderer.render(replace(state, positions=positions), pose, viewer)

    def close(self) -> None:
        """Close the renderer."""
        self._renderer.close()


@dataclass(frozen=True, eq=False)
class Witness:
    """Who learned a view.

    Attributes:
        stranger: What it learned.
        newborn: The same before its first step, if the view asks for it.
        talk: Its side of negotiations, as in a run.
        frame: uint8 [H, W, 3], what it sees at a tick that scores.
    """

    stranger: TrainedAgent
    newborn: TrainedAgent | None
    talk: Negotiation
    frame: np.ndarray


def degrees_name(degrees: float) -> str:
    """Return the name of a view by how far along the ring it stands."""
    return f"{degrees:g} degrees"


def turned(ring: RingConfig, degrees: float) -> Pose:
    """Return the pose so many degrees, 0 to 180, further along the ring than the first."""
    return ring_pose(1, replace(ring, separation=degrees)) if degrees else ring_pose(0, ring)


def raise_witness(upbringing: AgentSetup, seed: int, index: int, views: Sequence[View], say: Log) -> Witness:
    """Train one agent alone on its view; no bodies stand in the scene, whatever the upbringing says."""
    view = views[index]
    alone = replace(upbringing, scene=replace(upbringing.scene, bodies=False))
    with untrained_agent(alone, seed, index, [each.pose for each in views]) as agent:
        if view.hidden:
            agent.recorder.renderer = Walled(agent.recorder.renderer, view.hidden)
        newborn = _newborn(agent, say) if view.newborn else None
        stranger = trained_agent(agent, train_agent(agent, say))
        assert agent.negotiation is not None
        frame = agent.recorder.render_views(stranger.heldout.ids[0])
        say(f"{view.name}: core of {stranger.core_dim}")
        return Witness(stranger, newborn, agent.negotiation, frame)


def _newborn(agent: Agent, say: Log) -> TrainedAgent:
    train_agent(agent, say, until=0)
    return trained_agent(agent)


def agreement(
    source: TrainedAgent, target: TrainedAgent, pairs: int, seed: int, shuffled: bool = False
) -> Score:
    """Return the held-out R2 of the orthogonal map that so many pairs give, or the same pairs shuffled.

    A collapsed agent, whose core is empty, agrees with nobody: 0.
    """
    if not (source.core_dim and target.core_dim):
        return Score(np.ones(len(target.heldout.ids)), np.ones(len(target.heldout.ids)))
    fit = fit_shuffled if shuffled else fit_edge
    return edge_r2(fit(source, target, pairs, seed), source, target)


def both_ways(
    a: TrainedAgent, b: TrainedAgent, pairs: int, seeds: Sequence[int], shuffled: bool = False
) -> Score:
    """Return the mean agreement over both directions and some choices of pairs, one for each seed."""
    edges = [(source, target, seed) for source, target in ((a, b), (b, a)) for seed in seeds]
    return Score.average([agreement(source, target, pairs, seed, shuffled) for source, target, seed in edges])


def choices(seed: int) -> range:
    """Return the seeds of as many choices of pairs, few or shuffled, as their mean is taken over."""
    return range(seed * DRAWS, (seed + 1) * DRAWS)


def edge_scores(
    name: str, a: TrainedAgent, b: TrainedAgent, pairs: int, few: int, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return what an edge between two views is worth, and the singular values of its least-squares map."""
    values = spectrum(*heldout_pairs(a, b)).numpy()
    measures = {
        f"R2, {name}": both_ways(a, b, pairs, [seed]),
        f"R2 of few, {name}": both_ways(a, b, few, choices(seed)),
        f"null, {name}": both_ways(a, b, pairs, choices(seed), shuffled=True),
        f"smallest, {name}": Score.single(values.min() if values.size else 0.0),
        f"core, {name}": Score.single(b.core_dim),
    }
    return measures, {f"spectrum, {name}": values}


def overlap_scores(reference: TrainedAgent, view: View, pose: Pose, ticks: int) -> dict[str, Score]:
    """Return how much of what the reference's camera, at this pose, sees a view shows too.

    What a wall hides from the view counts as if it were in sight.
    """
    scene, ids = reference.scene, reference.heldout.ids
    states = [scene.state(tick) for tick in ids[:: max(1, len(ids) // ticks)][:ticks]]
    size = scene.config.frame_size
    found = [overlap(scene.config, state, pose, view.pose, size) for state in states]
    surfaces = [each.surface for each in found if np.isfinite(each.surface)]  # an object was in sight
    return {
        f"pixels, {view.name}": Score.mean(np.array([each.pixels for each in found])),
        f"surface, {view.name}": Score.mean(np.array(surfaces or [0.0])),
    }

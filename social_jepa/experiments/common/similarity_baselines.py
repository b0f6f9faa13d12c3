"""Baselines of every similarity of latents: encoders with initial weights, and principal components.

Neither learns anything, so that what two of them share is a property of the frames. The core that they detect
says little: an untrained encoder may have none, principal components too many. They are therefore compared on
as many leading axes, sorted by predictability, as the core of an agent that learned everything would have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

from agents.agent import Agent
from env.camera import Pose
from social_jepa.experiments.common.methods import BASELINES, Method, method_agent
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    train_agent,
    trained_agent,
)
from social_jepa.experiments.framework.experiment import Log, Results
from social_jepa.experiments.framework.score import Score

UNTRAINED, PIXEL_PCA = "untrained", "pixel PCA"
METHODS: Mapping[str, Method] = {
    UNTRAINED: Method("untrained", trains=False),
    PIXEL_PCA: Method("pixel PCA", BASELINES + "PixelPca", trains=False),
}
Agents = Mapping[str, Sequence[TrainedAgent]]  # by baseline
Prepare = Callable[[Agent, int], None]


def with_core_dim(agent: TrainedAgent, core_dim: int) -> TrainedAgent:
    """Return the agent with its leading `core_dim` axes as the core, whatever core it found."""
    anchors, heldout = (replace(rows, core_dim=core_dim) for rows in (agent.anchors, agent.heldout))
    return replace(agent, basis=replace(agent.basis, core_dim=core_dim), anchors=anchors, heldout=heldout)


def baseline_agents(
    setup: AgentSetup, seed: int, indices: Sequence[int], poses: Sequence[Pose], log: Log, *,
    axes: int | None = None, prepare: Prepare | None = None, methods: Sequence[str] = tuple(METHODS),
) -> dict[str, list[TrainedAgent]]:  # fmt: skip
    """Return agents of each baseline, which take no training step.

    Args:
        setup: The scene and the settings of the agents.
        seed: Seed of the scene; all randomness of an agent follows from (seed, index).
        indices: Indices of the agents.
        poses: Camera poses of all agents.
        log: Receives progress messages.
        axes: Number of leading axes that are the core, at most the dimension of the latents; by default
            those that each agent detects.
        prepare: Changes an agent, given its index, before it sees a frame.
        methods: Names of the baselines.
    """
    found: dict[str, list[TrainedAgent]] = {}
    for name in methods:
        for index in indices:
            with method_agent(METHODS[name], setup, seed, index, poses) as agent:
                if prepare is not None:
                    prepare(agent, index)
                train_agent(agent, log, until=0)
                one = trained_agent(agent)
            kept = one if axes is None else with_core_dim(one, min(axes, one.heldout.vectors.shape[1]))
            found.setdefault(name, []).append(kept)
        log(f"{name}: {len(indices)} agents")
    return found


def baseline_scores(
    agents: Agents, score: Callable[[Sequence[TrainedAgent]], Mapping[str, Score]]
) -> dict[str, Score]:
    """Return the scores of the agents of each baseline, under the names of `baseline_name`."""
    return {
        baseline_name(baseline, name): one
        for baseline, members in agents.items()
        for name, one in score(members).items()
    }


def baseline_name(baseline: str, score: str) -> str:
    """Return the name of a score of a baseline, in the condition that has the score itself."""
    return f"{baseline}: {score}"


class Baselines(TypedDict, total=False):
    """Values of a similarity for both baselines: arguments of a Metric."""

    untrained: float
    pixel_pca: float


def similarity(results: Results, condition: str, score: str) -> Baselines:
    """Return the means of a similarity of both baselines, as the arguments of a Metric."""
    untrained, pixel_pca = (results.mean(condition, baseline_name(name, score)) for name in METHODS)
    return {"untrained": untrained, "pixel_pca": pixel_pca}


def similarity_of(results: Results, untrained: str, pixel_pca: str, score: str) -> Baselines:
    """Return the means of a similarity where both baselines are conditions, as the arguments of a Metric."""
    return {"untrained": results.mean(untrained, score), "pixel_pca": results.mean(pixel_pca, score)}

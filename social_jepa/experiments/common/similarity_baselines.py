"""Baselines of every similarity of latents: initial weights, principal components, and linear tICA.

No encoder learns in any of them. What two untrained encoders, or as many principal components as latents have
dimensions, share is a property of the frames. Linear tICA is the most that linear functions of pixels give:
the most predictable functions of 256 principal components, on all ticks that an agent trains on. The core
that these detect says little: an untrained encoder may have none, principal components too many. They are
therefore compared on as many leading axes, sorted by predictability, as the core of an agent that learned
everything would have.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np
import torch

from agents.agent import Agent
from env.camera import Pose
from social_jepa.experiments.common.baselines import LinearTica
from social_jepa.experiments.common.methods import BASELINES, Method, method_agent
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    train_agent,
    trained_agent,
)
from social_jepa.experiments.framework.experiment import Log, Results
from social_jepa.experiments.framework.score import Score

UNTRAINED, PIXEL_PCA, TICA = "untrained", "pixel PCA", "linear tICA"
METHODS: Mapping[str, Method] = {
    UNTRAINED: Method("untrained", trains=False),
    PIXEL_PCA: Method("pixel PCA", BASELINES + "PixelPca", trains=False),
    TICA: Method("linear tICA", BASELINES + "LinearTica", trains=False),
}
Agents = Mapping[str, Sequence[TrainedAgent]]  # by baseline
Prepare = Callable[[Agent, int], None]


def with_core_dim(agent: TrainedAgent, core_dim: int) -> TrainedAgent:
    """Return the agent with its leading `core_dim` axes as the core, whatever core it found."""
    anchors, heldout = (replace(rows, core_dim=core_dim) for rows in (agent.anchors, agent.heldout))
    return replace(agent, basis=replace(agent.basis, core_dim=core_dim), anchors=anchors, heldout=heldout)


@contextlib.contextmanager
def baseline_agent(
    name: str, setup: AgentSetup, seed: int, index: int, poses: Sequence[Pose], log: Log, *,
    axes: int | None = None, prepare: Prepare | None = None,
) -> Iterator[tuple[Agent, TrainedAgent]]:  # fmt: skip
    """Yield an agent of a baseline, which has taken no training step, and what is kept of it.

    The agent is closed afterwards. Arguments are those of `baseline_agents`.
    """
    with method_agent(METHODS[name], setup, seed, index, poses) as agent:
        if prepare is not None:
            prepare(agent, index)
        if isinstance(agent.model, LinearTica):
            _fit_tica(agent, agent.model)
        train_agent(agent, log, until=0)
        one = trained_agent(agent)
        yield agent, one if axes is None else with_core_dim(one, min(axes, one.heldout.vectors.shape[1]))


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
            opened = baseline_agent(name, setup, seed, index, poses, log, axes=axes, prepare=prepare)
            with opened as (_, kept):
                found.setdefault(name, []).append(kept)
        log(f"{name}: {len(indices)} agents")
    return found


def _fit_tica(agent: Agent, model: LinearTica) -> None:
    agent.train(until=0)  # records and calibrates
    buffer = agent.trainer.replay_buffer
    model.fit(lambda ticks: torch.from_numpy(buffer.read(np.asarray(ticks))), buffer.ticks)


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
    """Values of a similarity for the baselines: arguments of a Metric."""

    untrained: float
    pixel_pca: float
    tica: float


def similarity(results: Results, condition: str, score: str) -> Baselines:
    """Return the means of a similarity of the baselines, as the arguments of a Metric."""
    untrained, pixel_pca, tica = (results.mean(condition, baseline_name(name, score)) for name in METHODS)
    return {"untrained": untrained, "pixel_pca": pixel_pca, "tica": tica}


def difference(first: Baselines, second: Baselines) -> Baselines:
    """Return the baselines' values of one similarity minus those of another."""
    return {
        "untrained": first["untrained"] - second["untrained"],
        "pixel_pca": first["pixel_pca"] - second["pixel_pca"],
        "tica": first["tica"] - second["tica"],
    }


def similarity_of(
    results: Results, untrained: str, pixel_pca: str, score: str, tica: str = "", geometric: bool = False
) -> Baselines:
    """Return the means of a similarity where baselines are conditions, as the arguments of a Metric.

    Args:
        results: Results of the conditions.
        untrained: Condition of untrained encoders.
        pixel_pca: Condition of principal components.
        score: Name of the similarity.
        tica: Condition of linear tICA, where there is one.
        geometric: Whether the means are geometric, as that of the metric.
    """

    def mean(condition: str) -> float:
        found = results.estimate(condition, score)
        return found.as_geometric().value if geometric else found.value

    both: Baselines = {"untrained": mean(untrained), "pixel_pca": mean(pixel_pca)}
    return {**both, "tica": mean(tica)} if tica else both

"""Train two agents, and find the axes of the second agent again on later, disjoint ticks."""

from dataclasses import replace

import numpy as np

from agents.agent import Agent
from agents.training.ticks import axis_ticks
from alignment.anchors import AnchorSet
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import Log


def train_pair(setup: AgentSetup, seed: int, log: Log) -> tuple[list[TrainedAgent], TrainedAgent]:
    """Train two agents; return them, and the second agent with axes found on later, disjoint ticks."""
    agents, poses = [], ring_poses(setup, 2)
    for index in range(2):
        with untrained_agent(setup, seed, index, poses) as agent:
            agents.append(trained_agent(agent, train_agent(agent, log)))
            if index == 1:
                disjoint = with_later_axes(agent, agents[1])
    return agents, disjoint


def with_later_axes(agent: Agent, trained: TrainedAgent) -> TrainedAgent:
    """Return the trained agent with axes found on ticks after all ticks that it has seen.

    The axes are found as in any run: on the same number of ticks, and sorted by autocorrelations on later
    ticks still. The time range differs and, unavoidably, the agent did not train on these ticks.
    """
    trainer = agent.trainer
    first = int(agent.core_eval_ticks(trainer.seen_stop).max()) + 1 + agent.gap
    later = range(first, first + len(trainer.replay_buffer))
    basis, _ = agent.find_axes(axis_ticks(later, trainer.config.segment_ticks), later.stop)
    anchors, heldout = (
        AnchorSet(pool.ids, basis(agent.encode_ticks(pool.ids)).float(), pool.core_dim)
        for pool in (trained.anchors, trained.heldout)
    )
    return replace(trained, basis=basis, anchors=anchors, heldout=heldout)


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of each column of a with each column of b, [n, D], [n, F] -> [D, F]."""
    a, b = ((rows - rows.mean(0)) / rows.std(0) for rows in (a, b))
    return a.T @ b / len(a)


def leading_axes(embeddings: AnchorSet, axes: int) -> np.ndarray:
    """Return the embeddings in their most predictable axes, float64 [K, axes]."""
    return embeddings.vectors[:, :axes].double().numpy()

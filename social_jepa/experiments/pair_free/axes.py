"""Two strangers and their axes: found on one stretch of the world's history, or on stretches of their own."""

from dataclasses import replace

import numpy as np

from agents.agent import BASIS_TICKS, Agent
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


def raised(upbringing: AgentSetup, seed: int, say: Log) -> tuple[list[TrainedAgent], TrainedAgent]:
    """Train two agents; return them, and the second with axes that were found on a later stretch of time."""
    strangers, poses = [], ring_poses(upbringing, 2)
    for index in range(2):
        with untrained_agent(upbringing, seed, index, poses) as agent:
            strangers.append(trained_agent(agent, train_agent(agent, say)))
            if index == 1:
                apart = with_later_axes(agent, strangers[1])
    return strangers, apart


def with_later_axes(agent: Agent, stranger: TrainedAgent) -> TrainedAgent:
    """Return an agent that has learned, with axes from ticks that come after all that it has seen.

    It finds them as every agent does, from as many ticks, ranked on ticks that are later still. One thing
    more than the time differs, and cannot be helped: it did not train on these ticks.
    """
    seen, config = agent.trainer.replay_buffer.ticks, agent.spec.training
    first = seen.stop + config.core_eval_ticks + 2 * agent.gap
    basis, _ = agent.find_axes(range(first, first + min(len(seen), BASIS_TICKS)))
    anchors, heldout = (
        AnchorSet(shown.ids, basis(agent.encode_ticks(shown.ids)).float(), shown.core_dim)
        for shown in (stranger.anchors, stranger.heldout)
    )
    return replace(stranger, basis=basis, anchors=anchors, heldout=heldout)


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of each column of one set with each of another, [n, D], [n, F] -> [D, F]."""
    a, b = ((rows - rows.mean(0)) / rows.std(0) for rows in (a, b))
    return a.T @ b / len(a)


def leading(shown: AnchorSet, axes: int) -> np.ndarray:
    """Return the most predictable axes of what an agent makes of some ticks, float64 [K, axes]."""
    return shown.vectors[:, :axes].double().numpy()

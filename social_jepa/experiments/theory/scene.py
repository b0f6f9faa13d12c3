"""The same bound for real agents: cameras around the scene, whose pixels hide part of it."""

import numpy as np

from social_jepa.experiments.common.trained_agents import AgentSetup, ring_poses, train_agent, untrained_agent
from social_jepa.experiments.framework.experiment import ConditionResult, Log
from social_jepa.experiments.theory.bound import Code, score_agents

NULL = 21  # word


def run_scene(seed: int, upbringing: AgentSetup, cameras: int, ticks: int, say: Log) -> ConditionResult:
    """Train agents of a run and bound them from what each core makes of ticks after its training.

    Args:
        seed: Of the world and of all that is random in the agents.
        upbringing: Of the agents; the bound knows the rate of its scene.
        cameras: How many agents.
        ticks: Consecutive ticks that score; as many before them fit the maps.
        say: Told how it goes.
    """
    poses = ring_poses(upbringing, cameras)
    codes, flops = [], 0.0
    for index in range(cameras):
        with untrained_agent(upbringing, seed, index, poses) as agent:
            flops += train_agent(agent, say)
            # The ticks after training have told which axes are the core: what scores lies behind them.
            fits = (
                agent.trainer.replay_buffer.ticks.stop + upbringing.training.core_eval_ticks + 2 * agent.gap
            )
            scores = fits + ticks + agent.gap
            fitting = agent.encode_core(range(fits, fits + ticks)).double()
            rows = agent.encode_core(range(scores, scores + ticks + 1)).double()
            codes.append(Code(fitting, rows[:-1], rows[1:]))
    rho = float(np.mean(upbringing.scene.autocorrelation))
    measures, arrays = score_agents([codes], rho, [seed, NULL])
    return ConditionResult(measures, arrays, flops=flops)

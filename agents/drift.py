"""How far the model that an agent trains on has left the one that its peers know."""

from typing import TYPE_CHECKING

from alignment.fit import fit_ridge
from alignment.score import r2

if TYPE_CHECKING:
    from agents.agent import Agent


def measure_drift(agent: "Agent") -> float:
    """Return the distance of the newest model from the published one, as a share of variance, and keep it.

    A linear map from the newest latents to the published core is fitted on the anchors that maps are fitted
    on, and scored on ticks that no model of this agent has seen: drift = 1 - R2.

    Raises:
        RuntimeError: Nothing is published.
    """
    known = agent.known_model().snapshot.pools.anchors
    readout = fit_ridge(agent.encode_ticks(known.ids), known.core())
    unseen = agent.ticks.drift(agent.trainer.seen_stop)
    agent.drift = 1 - r2(readout(agent.encode_ticks(unseen)), agent.encode_core(unseen))
    return agent.drift

"""Scores of embodied: plans towards the goals of a moving peer, and what translation tells of its camera."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from alignment.anchors import AnchorSet
from alignment.linear_map import LinearMap
from alignment.shared_subspace import SharedSubspace, find_shared
from env.camera_motion import camera_offsets
from env.renderer import Renderer
from social_jepa.experiments.common.core_predictors import CoreRecording, check_cores, linear_predictor
from social_jepa.experiments.common.edges import Embeddings, Pairing, edge_scores, edges_between
from social_jepa.experiments.common.planning import (
    STEERED,
    PlanningConfig,
    Policy,
    average_directions,
    planning_policy,
    planning_scores,
    random_policy,
    true_state_policy,
)
from social_jepa.experiments.common.probes import state_probe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.embodied.settings import EmbodiedStream, Settings
from social_jepa.experiments.framework.score import Score

MAPS = ("shared map", "no map", "shifted map")
POLICIES = ("own goal", "peer's goal", "goal, no map", "goal, shifted map", "random", "true state")
BASELINE_POLICIES = ("own goal", "peer's goal")  # those of agents that learn nothing
READ = ("own latents", "translated", "translated, shifted")  # what a camera's offsets are read from
PLOTTED = "peer's goal"  # policy of the plotted episode


def shared_directions(
    source: TrainedAgent, target: TrainedAgent, pairing: Pairing, shift: int = 0
) -> SharedSubspace:
    """Return what the cores of two agents share, as the target of an edge finds it.

    Args:
        source: Agent whose core is translated.
        target: Agent that it is translated for.
        pairing: Which rows are paired.
        shift: Rows by which the target's are rolled in time, for fitting alone: the null.
    """
    one, other = Embeddings.of(source), Embeddings.of(target)
    x, y = pairing.fit_pairs(one, Embeddings(other.anchors.roll(shift, 0), other.heldout, other.core_dim))
    i, j = one.core_dim, other.core_dim
    return find_shared(x[:, :i], y[:, :j], pairing.held_out(one, other).leading(i, j))


def make_maps(
    source: TrainedAgent, target: TrainedAgent, pairing: Pairing, shared: SharedSubspace
) -> dict[str, LinearMap]:
    """Return by MAPS the map of what two cores share, and its controls.

    The null maps as many directions, by the axes that pairs of different times give.
    """
    shifted = shared_directions(source, target, pairing, len(target.anchors.vectors) // 2)
    axes = shifted.source_axes[:, : shared.dim] @ shifted.target_axes[:, : shared.dim].T
    identity = torch.eye(source.core_dim, target.core_dim, dtype=torch.float64)
    zeros = torch.zeros(target.core_dim, dtype=torch.float64)
    return {
        "shared map": shared.map, "no map": LinearMap(identity, zeros), "shifted map": LinearMap(axes, zeros),
    }  # fmt: skip


def make_policies(
    peer: CoreRecording, receiver: CoreRecording, maps: Mapping[str, LinearMap], config: PlanningConfig,
    names: Sequence[str], goals: np.ndarray, renderer: Renderer,
) -> dict[str, Policy]:  # fmt: skip
    """Return the receiver's policies of these names, with goals at these held-out ticks."""
    predict, rows = linear_predictor(receiver, STEERED), torch.from_numpy(goals)
    seen = peer.heldout[rows]
    targets = {
        "own goal": receiver.heldout[rows],
        "peer's goal": maps["shared map"](seen),
        "goal, no map": maps["no map"](seen),
        "goal, shifted map": maps["shifted map"](seen),
    }
    policies = {
        name: planning_policy(receiver, renderer, predict, latents, config)
        for name, latents in targets.items()
    }
    true_goals = receiver.agent.scene.factors(goals)[:, :STEERED]
    policies |= {"random": random_policy, "true state": true_state_policy(true_goals, config)}
    return {name: policies[name] for name in names}


def pair_scores(
    recordings: Sequence[CoreRecording], pairing: Pairing, settings: Settings, seed: int,
    names: Sequence[str] = POLICIES,
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:  # fmt: skip
    """Return the mean scores of both directions between two agents, and the arrays of the plots.

    Args:
        recordings: The two agents.
        pairing: Which rows are paired.
        settings: Settings of the run.
        seed: Seed of the episodes and of the plans.
        names: Those of POLICIES that episodes are run with, "own goal" and "peer's goal" among them.

    Raises:
        ValueError: An agent found no core.
    """
    check_cores(recordings)
    directions, config = [], settings.planning
    for peer, receiver in (recordings, recordings[::-1]):
        shared = shared_directions(peer.agent, receiver.agent, pairing)
        maps = make_maps(peer.agent, receiver.agent, pairing, shared)
        make = partial(make_policies, peer, receiver, maps, config, names)
        rng, words = EmbodiedStream.EPISODES.rng(seed), [seed, EmbodiedStream.PLANS]
        planned, arrays = planning_scores(peer, receiver, make, config, rng, words, (PLOTTED,))
        frames = [arrays.pop(name) for name in ("peer's goal frame", "own goal frame", f"frames: {PLOTTED}")]
        arrays["frames"] = np.concatenate(frames)
        directions.append((planned | camera_scores(peer.agent, shared), arrays))
    scores, arrays = average_directions(directions)
    edges = edges_between([Embeddings.of(recording.agent) for recording in recordings], pairing)
    return scores | edge_scores(edges, 2 * settings.setup.scene.objects), arrays


def camera_scores(agent: TrainedAgent, shared: SharedSubspace) -> dict[str, Score]:
    """Return R2 of linear probes of where an agent's camera has moved, for evaluation only.

    Its offsets are read from READ: all dimensions of its own latents, mean over the offsets; what the map of
    the shared directions leaves of these for a peer, of the offset that is told best; and the same at another
    time, the null. Both of the latter are NaN where no direction is shared, so that nothing is told. Beside
    them *state R2: translated*: R2 of the true state of all objects from what the map leaves; 0 if nothing.

    Args:
        agent: The agent whose camera moves.
        shared: What its core shares with that of a peer.
    """
    fit, held = agent.anchors, agent.heldout
    offsets, expected = (camera_states(agent, rows) for rows in (fit, held))
    scores = {"camera R2: own latents": state_probe(fit.vectors, offsets, held.vectors, expected)}
    if not shared.dim:
        told = dict.fromkeys(("camera R2: translated", "camera R2: translated, shifted"), math.nan)
        return scores | {
            name: Score.single(r2) for name, r2 in (told | {"state R2: translated": 0.0}).items()
        }
    translated, heldout = (rows.core().double() @ shared.source_axes[:, : shared.dim] for rows in (fit, held))

    def best_told(states: Tensor) -> Score:
        columns = zip(states.split(1, 1), expected.split(1, 1), strict=True)
        return Score.single(max(state_probe(translated, x, heldout, y).score for x, y in columns))

    return scores | {
        "camera R2: translated": best_told(offsets),
        "camera R2: translated, shifted": best_told(offsets.roll(len(offsets) // 2, 0)),
        "state R2: translated": Score.single(
            state_probe(translated, agent.states(fit), heldout, agent.states(held)).score
        ),
    }


def camera_states(agent: TrainedAgent, rows: AnchorSet) -> Tensor:
    """Return the offsets of an agent's moving camera from its pose, float64 [K, m]: those that move."""
    scene, motion = agent.scene, agent.scene.config.camera_motion
    offsets = camera_offsets(motion, scene.seed, agent.name, np.array(rows.ids))
    return torch.from_numpy(offsets[:, np.array(motion.amplitudes) > 0])

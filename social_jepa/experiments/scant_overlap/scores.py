"""Scores of scant-overlap: what two cameras see of the same surfaces, and the edges between their agents."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from env.camera import Pose
from env.depth import overlap, seen_surfaces
from env.scene import Scene
from social_jepa.experiments.common.edges import (
    Embeddings,
    Pairing,
    direction_arrays,
    edge_scores,
    edges_between,
    probe_scores,
)
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.scant_overlap.layout import SHARED, SHARED_FACTORS
from social_jepa.experiments.scant_overlap.settings import ScantOverlapStream


def overlap_scores(
    scene: Scene, poses: Sequence[Pose], ticks: Sequence[int], per_edge: int
) -> dict[str, Score]:
    """Return the shares of surfaces and pixels that two cameras see in common, by ray casting.

    *surface*: of the points on the shared objects' surfaces that any of the two sees, the share that both
    see. *of one camera*: of the points that one sees, the share that the other sees too, mean of both.
    *pixels*: of one camera's pixels, the share whose point in the room the other sees, mean of both.

    Args:
        scene: The scene.
        poses: Both cameras.
        ticks: Ticks that are averaged over.
        per_edge: Points along an edge of a box.
    """
    config, counts, pixels = scene.config, np.zeros(4), []
    for state in map(scene.state, ticks):
        first, second = (seen_surfaces(config, state, pose, per_edge)[list(SHARED)] for pose in poses)
        counts += [(first & second).sum(), (first | second).sum(), first.sum(), second.sum()]
        for pose, other in (poses, poses[::-1]):
            pixels.append(overlap(config, state, pose, other, config.frame_size).pixels)
    both, either, *each = counts.tolist()
    return {
        "surface overlap": Score.single(both / max(either, 1)),
        "surface overlap of one camera": Score.mean(np.array([both / max(count, 1) for count in each])),
        "pixel overlap": Score.mean(np.array(pixels)),
    }


def pair_scores(
    agents: Sequence[TrainedAgent], pairing: Pairing, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return the scores of the edges between two agents, and the correlations of their core directions.

    Args:
        agents: The two agents.
        pairing: Which rows are paired.
        seed: Seed of the shuffled states.
    """
    first, second = (Embeddings.of(agent) for agent in agents)
    edges = edges_between([first, second], pairing)
    shifted = edges_between([first, roll_embeddings(second)], pairing)
    scores = edge_scores(edges, len(SHARED_FACTORS))
    scores |= {f"shifted, {name}": score for name, score in edge_scores(shifted, len(SHARED_FACTORS)).items()}
    probes = [
        probe_scores(agent, SHARED_FACTORS, ScantOverlapStream.SHUFFLED.rng(seed, index))
        for index, agent in enumerate(agents)
    ]
    scores |= {name: Score.mean(np.array([found[name].score for found in probes])) for name in probes[0]}
    scores["core dim"] = Score.mean(np.array([agent.core_dim for agent in agents]))
    return scores, direction_arrays(edges[0])


def roll_embeddings(agent: Embeddings) -> Embeddings:
    """Return the embeddings of other times: rows shifted by half of their range."""
    anchors, heldout = (rows.roll(len(rows) // 2, 0) for rows in (agent.anchors, agent.heldout))
    return replace(agent, anchors=anchors, heldout=heldout)

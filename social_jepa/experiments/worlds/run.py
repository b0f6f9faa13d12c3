"""Does an edge find what two agents share, and how much of it, in worlds that differ in what can be shared?

An edge states how many directions of two cores are shared, and translates those. That statement is checked
where the answer is known: two agents share exactly the factors of the objects that both cameras see.

Protocol. Two agents stand 180 degrees apart on a ring around one scene of three objects, among four bodies,
and learn alone, at other times (training.own_ticks), otherwise with the settings of a run; they share no
weights, no seed and no tick of training. Each finds its core without a peer, training further encoders as
long as these find new axes. Then 256 pairs of embeddings are fitted and 512 others scored, in both
directions.

Conditions. The worlds, one condition each:
- *default*: objects move independently, with autocorrelation 0.7 from tick to tick.
- *mixed*: the three objects have rates 0.9, 0.7 and 0.5.
- *slow*: all rates are 0.95.
- *coupled*: the coordinates drive each other linearly, far from a normal matrix.
- *collide*: the objects collide elastically.
- *nuisance*: the brightness of each camera drifts by itself, slower than the objects. The drift is private.
- *wall*: an interior wall hides an object from each camera, another one for each: of the three objects, one
  is seen by both. The true number of shared directions is 2, in the others 6.
- *moving*: each camera pans and tilts by itself, which is private.

Measured, mean of both directions of an edge: the number of shared directions; R2 of the map on the shared
directions of the target; the correlation of the weakest shared direction; the sizes of the cores, and how
many of their directions are private. For each agent: encoders, optimizer steps with those of further
encoders, and R2 of a linear probe of the true state from the core, for evaluation only, over the factors
that its camera sees.

Unrelated worlds. An agent of one seed and an agent of another seed see different scenes, so that nothing is
shared: every edge between them that is accepted is an error. *Trained*: all pairs of the first agent of a
seed and the second agent of another seed, in each world. *Without pixels*, the condition unrelated-latents:
80 pairs of each seed, of two scenes whose factors have rates drawn from 0.7 to 0.99; latents are factors,
products of factors and noise in a random rotation, and cores are found in them as in a run.

Nulls. Of correlations, the largest at any of 199 shifts in time; of probes, shuffled states. Baselines. Of
the worlds, both agents with their initial weights, two pixel PCAs, and linear tICA, aligned in the same way;
of unrelated worlds, the share of edges accepted between agents of one world.

Seeds 2000 to 2004, on which nothing was searched, score.

Thresholds, set before the full run:
- in each world the number of shared directions is exact, in both directions, in every seed;
- in each world R2 on the shared directions is at least 0.90;
- at least 7 of the 8 worlds meet both, mean over seeds;
- counting missing directions as unexplained, R2 exceeds that of the best baseline, or 0, in the worst world
  of each seed (an earlier bound, 0.3 above untrained agents, counted in what these have below 0);
- without pixels, at most 1 % of the edges between unrelated worlds are accepted, and at most 2 % share a
  direction (one of 200 by chance), by the interval of a rate over pairs of agents; trained agents are too few
  for such a bound.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agents.agent import Agent
from agents.models.jepa import Jepa
from social_jepa.experiments.common.edges import (
    Embeddings,
    Pairing,
    direction_arrays,
    edge_scores,
    edges_between,
    judge_edge,
    probe_scores,
)
from social_jepa.experiments.common.methods import COMPARED_AGENTS, RING_AGENTS
from social_jepa.experiments.common.similarity_baselines import PIXEL_PCA, TICA, baseline_agents
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.worlds.describe import describe_methods
from social_jepa.experiments.worlds.latents import draw_pair
from social_jepa.experiments.worlds.metrics import make_metrics, make_notes
from social_jepa.experiments.worlds.plots import make_plots
from social_jepa.experiments.worlds.settings import (
    QUICK,
    SIDES,
    UNRELATED,
    WORLDS,
    Settings,
    World,
    WorldsStream,
)


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the two agents of a world and score their edges; or score pairs of agents without pixels.

    Args:
        condition: One of WORLDS, or unrelated-latents.
        seed: Seed of the scene and the agents.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    if condition == UNRELATED:
        return run_latents(seed, settings, log)
    world = WORLDS[condition]
    setup = replace(settings.setup, scene=world.scene(settings.setup.scene))
    trained, untrained, scores, frames = train_pair(setup, seed, log)
    arrays = {"frames": frames}
    members = {"": trained, "untrained, ": untrained}
    members |= {f"{name}, ": agents for name, agents in linear_baselines(setup, seed, log).items()}
    for prefix, agents in members.items():
        found, curve = world_scores(agents, world, Pairing.of(setup), seed)
        scores |= {prefix + name: score for name, score in found.items()}
        arrays |= {prefix + name: array for name, array in curve.items()}
    for side, agent in zip(SIDES, trained, strict=True):
        arrays |= {f"{side} anchors": agent.anchors.vectors.numpy()}
        arrays |= {f"{side} heldout": agent.heldout.vectors.numpy()}
    log(f"{scores['shared dim'].score:g} of {world.shared_dim} shared, R2 {scores['R2 shared'].score:.3f}")
    return ConditionResult(scores, arrays, flops=sum(agent.flops for agent in trained) / len(trained))


def train_pair(
    setup: AgentSetup, seed: int, log: Log
) -> tuple[list[TrainedAgent], list[TrainedAgent], dict[str, Score], np.ndarray]:
    """Train the two agents, one after the other.

    Returns:
        (trained agents, the same with their initial weights, costs by side, a frame of each [2, H, W, 3]).
    """
    poses = ring_poses(setup, RING_AGENTS)
    trained, untrained, frames = [], [], []
    costs: dict[str, Score] = {}
    for side, index in zip(SIDES, COMPARED_AGENTS, strict=True):
        with untrained_agent(setup, seed, index, poses) as agent:
            train_agent(agent, log, until=0)
            untrained.append(trained_agent(agent))
            trained.append(trained_agent(agent, train_agent(agent, log)))
            found = training_costs(agent)
            costs |= {f"{name}, {side}": Score.single(value) for name, value in found.items()}
            frames.append(agent.recorder.record(agent.ticks.heldout[:1]).frames[0])
    return trained, untrained, costs, np.stack(frames)


def linear_baselines(setup: AgentSetup, seed: int, log: Log) -> dict[str, list[TrainedAgent]]:
    """Return two agents of each baseline that is a linear function of pixels; they detect cores as all do."""
    poses = ring_poses(setup, RING_AGENTS)
    return baseline_agents(setup, seed, COMPARED_AGENTS, poses, log, methods=(PIXEL_PCA, TICA))


def training_costs(agent: Agent) -> dict[str, int]:
    """Return the number of encoders of a trained agent, and the optimizer steps of all of them."""
    assert isinstance(agent.model, Jepa)
    later = 0 if agent.model.staged is None else len(agent.model.staged.stages)
    return {"encoders": 1 + later, "steps": agent.trainer.step + (agent.stage_steps or 0)}


def world_scores(
    agents: Sequence[TrainedAgent], world: World, pairing: Pairing, seed: int
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Return the scores of two agents of a world, and the correlations of their core directions.

    Args:
        agents: The two agents.
        world: Their world.
        pairing: Which rows are paired.
        seed: Seed of the shuffled states.
    """
    sent = [Embeddings.of(agent) for agent in agents]
    edges = edges_between(sent, pairing)
    scores = edge_scores(edges, world.shared_dim)
    for number, (side, agent) in enumerate(zip(SIDES, agents, strict=True)):
        found = probe_scores(agent, world.seen_factors(number), WorldsStream.SHUFFLED.rng(seed, number))
        found["core dim"] = Score.single(agent.core_dim)
        found["private dim"] = Score.single(agent.core_dim - scores["shared dim"].score)
        scores |= {f"{name}, {side}": score for name, score in found.items()}
    return scores, direction_arrays(edges[0])


def run_latents(seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Return the share of edges that are accepted between agents without pixels, of two worlds and of one."""
    rng = WorldsStream.LATENTS.rng(seed)
    scores = {}
    for name, related, count in (
        ("accepted", False, settings.unrelated_pairs),
        ("accepted, one world", True, settings.related_pairs),
    ):
        found = []
        for number in range(count):
            (first, second), pairing = draw_pair(related, settings, rng)
            found += [judge_edge(first, second, pairing), judge_edge(second, first, pairing)]
            if number % 5 == 0:
                log(f"{name}: {sum(each.accepts for each in found)} of {len(found)} edges")
        scores[name] = Score.mean(np.array([each.accepts for each in found]))
        scores[name.replace("accepted", "shared")] = Score.mean(np.array([each.shares for each in found]))
    return ConditionResult(scores)


EXPERIMENT = Experiment(
    name="worlds",
    question="Does an edge find what two agents share, and how well, in worlds of different kinds?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: (*WORLDS, UNRELATED),
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
    seeds=range(2000, 2005),
)

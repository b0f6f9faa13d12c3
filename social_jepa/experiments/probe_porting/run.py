"""Does a probe of agent A serve agent B without a gradient step?

After the claim of Social-JEPA (arXiv:2603.02263) that a probe can be ported between agents; it gives no
figure for it.

Protocol. Four agents learn the same scene, each from its own camera on the ring, with nothing in common.
Three probes of each agent's predictable core are fitted on labelled ticks: *positions*, ridge regression
of where the objects are (each coordinate as a share of how far it reaches, -1 to 1); *quadrant*, logistic
regression of the quarter of the room that the first object is in; *nearest*, logistic regression, on the
core and its products of degree two, of the object nearest the room's centre. Agent B then reads with the
probe of agent A: its core goes through the orthogonal map from B's core to A's that so many anchors give,
and nothing is fitted to B's labels.

Measured. R2 of the positions, accuracy of the two classifiers; the mean over the 12 ordered pairs of
agents, with 1 to 1024 anchors. Probes and maps are fitted on one stretch of ticks and scored on another,
and training saw neither. The true state labels the ticks of the probes and scores them; no agent sees it.

Baselines: B's own probe, fitted on as many labels as A's; and B's own probe fitted on as many labels as
the map has anchors, which is what porting saves. Controls: no map (B's core goes into A's probe as it is,
cut or filled up with zeros where sizes differ) and a random orthogonal map. Null: the map fitted on the
same anchors, shuffled; beside a line without a map, on the 256 that the goals are about. Chance: the mean
position, and the commonest class.

Goals, set beforehand: with 256 anchors, own minus ported at most 0.01, in R2 for the positions and in
accuracy for each classifier.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from agents.protocol.settings import NegotiationConfig
from alignment.anchors import choose_ticks
from social_jepa.experiments.common.pairs import fit_edge, fit_shuffled, ordered_pairs
from social_jepa.experiments.common.trained_agents import (
    QUICK_SETUP,
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agents,
)
from social_jepa.experiments.framework.experiment import (
    ConditionResult,
    Experiment,
    Log,
    Metric,
    Results,
    Threshold,
    missed_thresholds,
)
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.probe_porting.plots import pictures
from social_jepa.experiments.probe_porting.probes import TASKS, Read, labels, probe_of, probes_of

UNMAPPED = ("own", "no map", "random map", "chance")  # lines that no budget changes
TURNING, SHOWN = 41, 200  # a word; ticks that the picture shows


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    upbringing: AgentSetup = field(
        default_factory=lambda: AgentSetup(negotiation=NegotiationConfig(pool_ticks=2048))
    )
    agents: int = 4
    budgets: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # anchors of a map
    judged: int = 256  # the budget that the goals are about

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to measure, by name."""
        pool = self.upbringing.negotiation.pool_ticks
        if self.agents < 2:
            raise ValueError(f"agents={self.agents}: a probe is ported from one to another")
        if self.upbringing.scene.objects < 2:
            raise ValueError("upbringing.scene.objects: the nearest object is one of two at least")
        if not all(1 <= budget <= pool for budget in self.budgets):
            raise ValueError(f"budgets={self.budgets}: choose from 1 to the {pool} anchors of the pool")
        if self.judged not in self.budgets:
            raise ValueError(f"judged={self.judged}: one of the budgets {self.budgets}")


QUICK_RUN = {
    "upbringing": {
        **QUICK_SETUP, "scene": {"renderer": "toy", "frame_size": 32, "objects": 2},
        "model": {"dim": 8, "width": 8, "hidden": 32},
    },
    "agents": 3, "budgets": (1, 2, 4, 8, 16, 32, 64, 128), "judged": 64,
}  # fmt: skip


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Raise a society, fit every agent's probes, and let each agent read with every other's.

    Args:
        part: society, the only one.
        seed: Of the world, the agents, and the choice of anchors.
        settings: Of the run.
        say: Told how it goes.
    """
    upbringing = settings.upbringing
    strangers = train_agents(upbringing, seed, ring_poses(upbringing, settings.agents), say)
    readers = {stranger.name: probes_of(stranger) for stranger in strangers}
    measures: dict[str, Score] = {}
    arrays: dict[str, np.ndarray] = {}
    for task in TASKS:
        found: dict[str, list[Score]] = {}
        for edge, (here, owner) in enumerate(ordered_pairs(strangers)):
            words = 1000 * seed + edge  # every pair of agents agrees on anchors of its own
            for line, measure in ported(task, here, owner, readers, settings.budgets, words).items():
                found.setdefault(line, []).append(measure)
        measures |= {f"{task}: {line}": Score.average(each) for line, each in found.items()}
        lost = [
            own.score - other.score
            for own, other in zip(found["own"], found[f"ported, {settings.judged}"], strict=True)
        ]
        measures[f"{task}: worst loss"] = Score.single(max(lost))
        say(f"{task}: own {measures[f'{task}: own'].score:.3f}, ported loses {np.mean(lost):.4f}")
        arrays |= _shown(task, strangers[1], strangers[0], readers, settings.judged, 1000 * seed)
    return ConditionResult(measures, arrays, flops=sum(stranger.flops for stranger in strangers))


def ported(
    task: str,
    here: TrainedAgent,
    owner: TrainedAgent,
    readers: dict[str, Read],
    budgets: Sequence[int],
    seed: int,
) -> dict[str, Score]:
    """Return what an agent reads on held-out ticks with another's probe, by line, and with its own.

    Args:
        task: One of TASKS.
        here: Who reads.
        owner: Whose probe.
        readers: Everybody's probes, by name.
        budgets: Anchors of the maps.
        seed: Chooses the anchors, the shuffles and the random map.
    """
    core, true, read = here.heldout.core().double(), labels(task, here, here.heldout), readers[owner.name]

    def scored(said: np.ndarray) -> Score:
        return Score.pooled_r2(said, true) if task == "positions" else Score.mean(said == true)

    known = labels(task, here, here.anchors)
    found = {
        "own": scored(readers[here.name](task, core)),
        "no map": scored(read(task, core @ torch.eye(here.core_dim, owner.core_dim, dtype=core.dtype))),
        "random map": scored(read(task, core @ random_map(here.core_dim, owner.core_dim, seed))),
        "chance": scored(np.broadcast_to(_constant(known), true.shape)),
    }
    for count in budgets:
        rows = here.anchors.rows(choose_ticks(here.anchors.ids, count, seed))
        probe = probe_of(task, here.anchors.core()[rows].double().numpy(), known[rows])
        found |= {
            f"ported, {count}": scored(read(task, fit_edge(here, owner, count, seed)(core))),
            f"shuffled, {count}": scored(read(task, fit_shuffled(here, owner, count, seed)(core))),
            f"own labels, {count}": scored(probe(core.numpy())),
        }
    return found


def random_map(source: int, target: int, seed: int) -> Tensor:
    """Return a random matrix with orthonormal rows or columns, [source, target]."""
    generator = torch.Generator().manual_seed(1000 * seed + TURNING)
    size = max(source, target)
    turn = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    return turn[:source, :target]


def _constant(known: np.ndarray) -> np.ndarray:
    return known.mean(0) if known.ndim == 2 else np.asarray(np.bincount(known).argmax())


def _shown(
    task: str, here: TrainedAgent, owner: TrainedAgent, readers: dict[str, Read], count: int, seed: int
) -> dict[str, np.ndarray]:
    """Return what one agent reads with its own probe and with another's, for the picture."""
    core = here.heldout.core().double()
    rows = SHOWN if task == "positions" else len(core)
    return {
        f"{task}, true": labels(task, here, here.heldout)[:rows],
        f"{task}, own": readers[here.name](task, core)[:rows],
        f"{task}, ported": readers[owner.name](task, fit_edge(here, owner, count, seed)(core))[:rows],
    }


def figures(results: Results, settings: Settings) -> list[Metric]:
    """Return what porting loses, the goals' figures, and then every line of each task."""
    judged = settings.judged
    shown = sorted(
        {count for count in settings.budgets if count in (8, 32)} | {judged, max(settings.budgets)}
    )
    found, rest = [], []
    for task in TASKS:
        lines = {
            line: results.estimate("society", f"{task}: {line}")
            for line in (*UNMAPPED, "worst loss", *(f"ported, {count}" for count in shown))
        }
        own, shuffled = lines["own"], _shuffled(results, task, judged)
        labelled = results.estimate("society", f"{task}: own labels, {judged}")
        name = f"{task}: own minus ported, {judged} anchors"
        loss, null = own - lines[f"ported, {judged}"], own.value - shuffled
        no_map = own.value - lines["no map"].value
        found.append(Metric(name, loss, null, no_map, Threshold("<=", 0.01), "goals"))
        rest += [Metric(f"{task}: {line}", lines[line], shuffled, own.value, group=task) for line in UNMAPPED]
        rest += [
            Metric(f"{task}: ported, {count}", lines[f"ported, {count}"], _shuffled(results, task, count),
                   own.value, group=task)
            for count in shown
        ]  # fmt: skip
        rest.append(Metric(f"{task}: own probe of {judged} labels", labelled, group=task))
        rest.append(Metric(f"{task}: most that an edge loses", lines["worst loss"], group=task))
    return [*found, *rest]


def _shuffled(results: Results, task: str, count: int) -> float:
    """Return what as many shuffled anchors give: the null of a map from so many."""
    return results.mean("society", f"{task}: shuffled, {count}")


def notes(results: Results, settings: Settings) -> list[str]:
    """Return what it costs, and by how much goals are missed."""
    flops = results.condition_results["society", results.seeds[0]].flops / 1e12
    return [
        f"Counted training TFLOPs of the {settings.agents} agents, seed {results.seeds[0]}: {flops:.2f}. "
        "Porting a probe costs none: an SVD of a matrix as large as the core, and one product a tick.",
        f"Null beside a figure: maps fitted on as many anchors, shuffled; beside lines without a map, on "
        f"{settings.judged}. Baseline: B's own probe; of the goals' figures, what no map at all loses.",
        *missed_thresholds(figures(results, settings)),
    ]


EXPERIMENT = Experiment(
    name="probe-porting",
    question="Does a probe of one agent serve another without a gradient step?",
    settings=Settings,
    quick=QUICK_RUN,
    conditions=lambda settings: ("society",),
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)

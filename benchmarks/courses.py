"""R2 of an edge against the CPU time of training, by course: frames, steps, rate, and sizes of the encoder.

``python -m benchmarks.courses`` trains two agents 180 degrees apart on each seed, at other times
(training.own_ticks), and scores the edges between them as a negotiation does. CPU seconds are those of one
thread, for each agent; FLOPs are those of matrix products and convolutions, further encoders included.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.agent import Agent
from agents.models.settings import ModelConfig
from agents.training.settings import TrainingConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.edges import Embeddings, Pairing, edges_between
from social_jepa.experiments.common.methods import COMPARED_AGENTS, RING_AGENTS
from social_jepa.experiments.common.probes import state_probe
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    ring_poses,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.common.training_loop import count_flops

SEARCHED = (100, 101, 102)  # seeds that courses were tried on before
FEW = 64  # pairs
MEASURES = ("recording", "training", "tflop", "probe", "few", "core", "all")
COLUMNS = (
    "width", "hidden", "frames", "steps", "rate", "recording", "training", "TFLOP", "probe R2",
    f"{FEW} pairs", "R2", "R2 all",
)  # fmt: skip


@dataclass(frozen=True)
class Course:
    """How an agent is trained, and with which encoder."""

    width: int
    hidden: int
    frames: int
    steps: int
    rate: float

    def apply(self, setup: AgentSetup) -> AgentSetup:
        """Return the settings of agents that train so."""
        training = replace(
            setup.training, replay_ticks=self.frames, steps=self.steps, learning_rate=self.rate
        )
        return replace(
            setup, training=training, model=replace(setup.model, width=self.width, hidden=self.hidden)
        )


def default_course() -> Course:
    """Return the course of a run."""
    model, training = ModelConfig(), TrainingConfig()
    return Course(model.width, model.hidden, training.replay_ticks, training.steps, training.learning_rate)


COURSES: Sequence[Course] = (
    Course(32, 256, 24576, 450, 5e-3),
    default_course(),
    Course(16, 128, 24576, 600, 1e-2),
    Course(16, 128, 49152, 600, 1e-2),
    Course(16, 256, 49152, 600, 7.5e-3),
    Course(16, 128, 98304, 600, 1e-2),
    Course(16, 128, 98304, 900, 5e-3),
)


class Costs(NamedTuple):
    """CPU seconds of an agent, and its FLOPs in units of 10^12."""

    recording: float
    training: float
    tflop: float


def train(agent: Agent) -> Costs:
    """Train an agent, publish its core, and return the costs of training."""
    began = time.process_time()
    agent.trainer.record(lambda: False)
    recorded = time.process_time()
    agent.train(until=1)  # the model is calibrated before its first step
    _, flops = count_flops(lambda: agent.train(until=2))
    agent.train()
    steps = agent.spec.training.steps + (agent.stage_steps or 0)
    costs = Costs(recorded - began, time.process_time() - recorded, steps * flops / 1e12)
    agent.publish()
    return costs


def measure(courses: Sequence[Course], setup: AgentSetup, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return each course with what it costs and reaches, mean over agents, edges and seeds.

    Args:
        courses: The courses.
        setup: The scene and everything else.
        seeds: Seeds of the scenes and agents.
    """
    rows = []
    for course in courses:
        found = [measure_once(course.apply(setup), seed) for seed in seeds]
        rows.append(vars(course) | {name: [each[name] for each in found] for name in MEASURES})
    return rows


def measure_once(setup: AgentSetup, seed: int) -> dict[str, float]:
    """Return the costs and the scores of two agents, mean over both and over both edges."""
    poses, agents, costs = ring_poses(setup, RING_AGENTS), list[TrainedAgent](), list[Costs]()
    for index in COMPARED_AGENTS:
        with untrained_agent(setup, seed, index, poses) as agent:
            costs.append(train(agent))
            agents.append(trained_agent(agent))
    sent, pairing = [Embeddings.of(agent) for agent in agents], Pairing.of(setup)
    edges = edges_between(sent, pairing)
    few = edges_between(sent, replace(pairing, anchors=min(FEW, pairing.anchors)))
    return {name: float(np.mean([getattr(each, name) for each in costs])) for name in Costs._fields} | {
        "probe": float(np.mean([probe_r2(agent) for agent in agents])),
        "few": float(np.mean([edge.r2_shared for edge in few])),
        "core": float(np.mean([edge.r2_shared for edge in edges])),
        "all": float(np.mean([edge.r2 for edge in edges])),
    }


def probe_r2(agent: TrainedAgent) -> float:
    """Return R2 of a linear probe of the true state from the core; for evaluation only."""
    if not agent.core_dim:
        return 0.0
    anchors, heldout = agent.anchors, agent.heldout
    return state_probe(anchors.core(), agent.states(anchors), heldout.core(), agent.states(heldout)).score


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each course."""
    lines = ["  ".join(f"{name:>9}" for name in COLUMNS)]
    for row in rows:
        lines.append("  ".join(f"{cell:>9}" for cell in cells(row)))
    return lines


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a course, in the order of COLUMNS."""
    means = {name: float(np.mean(row[name])) for name in MEASURES}
    return [
        str(row["width"]), str(row["hidden"]), f"{row['frames']:,}", str(row["steps"]), f"{row['rate']:g}",
        f"{means['recording']:.1f} s", f"{means['training']:.1f} s", f"{means['tflop']:.2f}",
        *(f"{means[name]:.3f}" for name in ("probe", "few", "core", "all")),
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the pairs and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.courses", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100], help="seeds of the scenes")
    parser.add_argument("--renderer", default=SceneConfig().renderer, help="of the scene")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every seed as one JSON document too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    setup = AgentSetup(scene=SceneConfig(renderer=options.renderer), training=TrainingConfig(own_ticks=True))
    rows = []
    for course in COURSES:  # a line as soon as there is one: each takes minutes
        rows += measure([course], setup, options.seeds)
        print("\n".join(table(rows)[0 if len(rows) == 1 else -1 :]), flush=True)
    if options.json:
        document = {"seeds": options.seeds, "searched_seeds": SEARCHED, "rows": rows}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

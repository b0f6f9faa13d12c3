"""What a newcomer does with its time: courses alone, and lessons of a peer, with what they cost."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.models.world_model import WorldModel
from agents.streams import Stream
from agents.training.distillation import distill
from agents.training.settings import DistillationConfig
from agents.training.trainer import Trainer
from alignment.core import find_core
from social_jepa.experiments.common.probes import apply_in_chunks, linear_probe
from social_jepa.experiments.common.training_loop import count_flops
from social_jepa.experiments.framework.score import Score

CALIBRATION = 1024  # first ticks, whose mean picture and spread normalise the input


@dataclass(frozen=True, eq=False)
class Trial:
    """What one way of learning cost and gave.

    Attributes:
        steps: Optimiser steps.
        batch: Frames a step.
        ticks: Distinct frames that it learned from.
        flops: Counted floating-point operations of the newcomer's learning.
        score: R2 of the true state, read off the code of held-out ticks by ridge regression.
    """

    steps: int
    batch: int
    ticks: int
    flops: float
    score: Score

    @property
    def row(self) -> tuple[float, ...]:
        """Return it as numbers: steps, batch, ticks, FLOPs, R2."""
        return self.steps, self.batch, self.ticks, self.flops, self.score.score


class Newcomer:
    """An agent that learns again and again, from the same first weights, frames and stretches of time."""

    def __init__(self, agent: Agent) -> None:
        """Record all that it may learn from, and the ticks that the probe is fitted and scored on."""
        self.agent = agent
        agent.trainer.record(lambda: False)
        self.views = [agent.recorder.record(ticks).frames for ticks in (agent.fit_ticks, agent.heldout_ticks)]
        self.known, self.true = (
            agent.scene.factors(np.array(ticks)) for ticks in (agent.fit_ticks, agent.heldout_ticks)
        )

    def untrained(self) -> WorldModel:
        """Return its first weights, the same every time, for the view that it has."""
        model = self.agent.build_model()
        model.calibrate(self._frames(np.arange(CALIBRATION)))
        return model

    def score(self, model: WorldModel) -> Score:
        """Return how much of the true state a linear probe reads off a model's code; for evaluation only."""
        model.eval()
        fitted, seen = (apply_in_chunks(model.encode, frames) for frames in self.views)
        return Score.r2(linear_probe(fitted, self.known)(seen), self.true)

    def alone(
        self, model: WorldModel, steps: int, looked: tuple[int, ...] = (), batch: int = 0, ticks: int = 0,
        warmup: float | None = None, after: Trial | None = None,
    ) -> list[Trial]:  # fmt: skip
        """Train a model in place on its own frames, by a schedule that ends at its last step.

        Args:
            model: What learns.
            steps: Of the course.
            looked: Steps to score it at besides the last.
            batch: Frames a step, by default as in a run.
            ticks: Distinct frames, the first ones, by default all.
            warmup: Share of the steps over which the rate rises, by default as in a run.
            after: What the model went through before, whose cost is added.
        """
        agent, config = self.agent, self.agent.spec.training
        batch, ticks = batch or config.segments * config.segment_ticks, ticks or config.replay_ticks
        config = replace(
            config, steps=steps, replay_ticks=ticks, segments=batch // config.segment_ticks,
            warmup=config.warmup if warmup is None else warmup,
        )  # fmt: skip
        seed = agent.stream_seed(Stream.BATCHES)
        trainer = Trainer(model, agent.recorder, agent.train_start, config, seed)
        if ticks == agent.spec.training.replay_ticks:
            trainer.replay_buffer = agent.trainer.replay_buffer  # recorded already
        trainer.record(lambda: False)
        step = count_flops(lambda: trainer.run(lambda: None, lambda: False, 1))[1]
        trials = []
        for until in (*(at for at in looked if at < steps), steps):
            trainer.run(lambda: None, lambda: False, until)
            trials.append(_trial(until, batch, ticks, step, self.score(model), after))
        return trials

    def taught(
        self, model: WorldModel, codes: Tensor, steps: int, batch: int, after: Trial | None = None
    ) -> Trial:
        """Train a model in place on a peer's codes of the first ticks, as agents do, [K, D_peer].

        Args:
            model: The pupil.
            codes: What the peer makes of them.
            steps: Of the lesson.
            batch: Ticks a step; all where they are fewer.
            after: What the model went through before, whose cost is added.
        """
        agent = self.agent
        batch, seed = min(batch, len(codes)), agent.stream_seed(Stream.DISTILLATION)

        def lesson(pupil: WorldModel, steps: int) -> None:
            config = DistillationConfig(len(codes), steps, batch)
            course = agent.spec.training
            distill(
                pupil,
                lambda rows: pupil.encode(self._frames(rows)),
                codes,
                config,
                course,
                seed,
                lambda: False,
            )

        first = agent.build_model()
        first.load_state_dict(model.state_dict())
        step = count_flops(lambda: lesson(first, 1))[1]
        lesson(model, steps)
        return _trial(steps, batch, len(codes), step, self.score(model), after)

    @torch.no_grad()
    def codes(self, model: WorldModel, ticks: int) -> Tensor:
        """Return what a model makes of the first ticks, in the core that it finds in them, [K, core_dim]."""
        model.eval()
        latent = torch.cat([model.encode(self._frames(rows)) for rows in np.arange(ticks).reshape(-1, 256)])
        return find_core(latent).core(latent).float()

    def _frames(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.agent.trainer.replay_buffer.read(self.agent.train_start + rows))


def _trial(steps: int, batch: int, ticks: int, step: float, score: Score, after: Trial | None) -> Trial:
    if after is None:
        return Trial(steps, batch, ticks, step * steps, score)
    return Trial(steps, batch, max(ticks, after.ticks), after.flops + step * steps, score)

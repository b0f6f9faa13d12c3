"""Training of a student alone and by distillation, with the costs of each schedule."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.common.streams import Stream
from agents.models.world_model import WorldModel
from agents.training.distillation import distill
from agents.training.settings import DistillationConfig
from agents.training.trainer import Trainer
from alignment.core import find_core
from social_jepa.experiments.common.probes import apply_in_chunks, linear_probe
from social_jepa.experiments.common.training_loop import count_flops
from social_jepa.experiments.framework.score import Score

CALIBRATION_TICKS = 1024  # first ticks, whose mean frame and standard deviation normalize the input


@dataclass(frozen=True, eq=False)
class Trial:
    """Cost and score of a student at a step of a schedule.

    Attributes:
        steps: Optimizer steps.
        batch: Frames per step.
        ticks: Distinct frames that it was trained on.
        flops: Counted FLOPs of the student's training.
        score: R2 of the true state, predicted from latents of held-out ticks by ridge regression.
    """

    steps: int
    batch: int
    ticks: int
    flops: float
    score: Score

    @property
    def row(self) -> tuple[float, ...]:
        """The trial as numbers: steps, batch, ticks, FLOPs, R2."""
        return self.steps, self.batch, self.ticks, self.flops, self.score.score


class Student:
    """An agent that is trained repeatedly, each time from the same initial weights, frames and ticks."""

    def __init__(self, agent: Agent) -> None:
        """Record all training frames, and the ticks that the probe is fitted and scored on."""
        self.agent = agent
        agent.trainer.record(lambda: False)
        probe_ticks = (agent.ticks.fit, agent.ticks.heldout)
        self.frames = [agent.recorder.record(ticks).frames for ticks in probe_ticks]
        self.states = [agent.scene.factors(np.array(ticks)) for ticks in probe_ticks]

    def untrained_model(self) -> WorldModel:
        """Return a model with the initial weights, always the same, calibrated on the agent's frames."""
        model = self.agent.build_model()
        model.calibrate(self._read_frames(np.arange(CALIBRATION_TICKS)))
        return model

    def score(self, model: WorldModel) -> Score:
        """Return the held-out R2 of a linear probe of the true state on latents; for evaluation only."""
        model.eval()
        fit, heldout = (apply_in_chunks(model.encode, frames) for frames in self.frames)
        states, heldout_states = self.states
        return Score.r2(linear_probe(fit, states)(heldout), heldout_states)

    def train_alone(
        self, model: WorldModel, steps: int, eval_steps: tuple[int, ...] = (), batch: int = 0, ticks: int = 0,
        warmup: float | None = None, after: Trial | None = None,
    ) -> list[Trial]:  # fmt: skip
        """Train a model in place on its own frames, by a schedule that ends at its last step.

        Args:
            model: Model to train.
            steps: Steps of the schedule.
            eval_steps: Steps at which it is scored, besides the last.
            batch: Frames per step, by default as in a run.
            ticks: Frames of the replay buffer, the first ones, by default all.
            warmup: Share of the steps over which the learning rate rises, by default as in a run.
            after: Earlier training of the model, whose cost is added.
        """
        agent, config = self.agent, self.agent.spec.training
        batch, ticks = batch or config.segments * config.segment_ticks, ticks or config.replay_ticks
        config = replace(
            config, steps=steps, replay_ticks=ticks, segments=batch // config.segment_ticks,
            warmup=config.warmup if warmup is None else warmup,
        )  # fmt: skip
        seed = agent.stream_seed(Stream.BATCHES)
        trainer = Trainer(model, agent.recorder, agent.ticks.train_start, config, seed)
        if ticks == agent.spec.training.replay_ticks:
            trainer.replay_buffer = agent.trainer.replay_buffer  # recorded already
        trainer.record(lambda: False)
        step_flops = count_flops(lambda: trainer.run(lambda: None, lambda: False, 1))[1]
        trials = []
        for until in (*(step for step in eval_steps if step < steps), steps):
            trainer.run(lambda: None, lambda: False, until)
            seen = count_seen_ticks(trainer, until)
            trials.append(_make_trial(until, batch, seen, step_flops, self.score(model), after))
        return trials

    def distill(
        self, model: WorldModel, teacher_latents: Tensor, steps: int, batch: int, after: Trial | None = None
    ) -> Trial:
        """Train a model in place on a teacher's core latents of the first ticks, as agents of a run do.

        Args:
            model: Model to train.
            teacher_latents: Core latents of the teacher, [K, D_teacher].
            steps: Steps of the distillation.
            batch: Ticks per step; all where they are fewer.
            after: Earlier training of the model, whose cost is added.
        """
        agent = self.agent
        batch, seed = min(batch, len(teacher_latents)), agent.stream_seed(Stream.DISTILLATION)

        def run_distillation(student: WorldModel, steps: int) -> None:
            distill(
                student,
                lambda rows: student.encode(self._read_frames(rows)),
                teacher_latents,
                DistillationConfig(len(teacher_latents), steps, batch),
                agent.spec.training,
                seed,
                lambda: False,
            )

        copy = agent.build_model()
        copy.load_state_dict(model.state_dict())
        step_flops = count_flops(lambda: run_distillation(copy, 1))[1]
        run_distillation(model, steps)
        return _make_trial(steps, batch, len(teacher_latents), step_flops, self.score(model), after)

    @torch.no_grad()
    def core_latents(self, model: WorldModel, ticks: int) -> Tensor:
        """Return a model's latents of the first ticks, in the core that they determine, [K, core_dim]."""
        model.eval()
        chunks = np.arange(ticks).reshape(-1, 256)
        latents = torch.cat([model.encode(self._read_frames(rows)) for rows in chunks])
        return find_core(latents).core(latents).float()

    def _read_frames(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.agent.trainer.replay_buffer.read(self.agent.ticks.train_start + rows))


def count_seen_ticks(trainer: Trainer, until: int) -> int:
    """Return the number of distinct ticks in the batches of the steps before `until`."""
    return len(np.unique([trainer.batch_ticks(step) for step in range(until)]))


def _make_trial(
    steps: int, batch: int, ticks: int, step_flops: float, score: Score, after: Trial | None
) -> Trial:
    if after is None:
        return Trial(steps, batch, ticks, step_flops * steps, score)
    return Trial(steps, batch, max(ticks, after.ticks), after.flops + step_flops * steps, score)

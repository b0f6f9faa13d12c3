"""Distillation: learn from a peer's embeddings. No parameter, gradient or pixel is exchanged."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from agents.models.world_model import WorldModel
from agents.training.settings import DistillationConfig, TrainingConfig
from agents.training.trainer import build_optimizer, lr_factor, set_lr, take_step
from alignment.fit import solve_ridge


def distillation_loss(latent: Tensor, teacher_latent: Tensor, ridge: float = 1e-3) -> Tensor:
    r"""Return the share of the teacher's variance that no linear map of the student's latent explains.

    With Z and C the centered latents of student and teacher, the best map ``W = (Z^T Z + r I)^-1 Z^T C`` is
    solved in closed form at every step, so that the student keeps its own latent space and only a linear map
    ties it to the teacher's: ``loss = 1 - tr(C^T Z W) / tr(C^T C)``.

    Args:
        latent: Z, [N, D_student].
        teacher_latent: C, [N, D_teacher].
        ridge: r relative to the mean diagonal of Z^T Z.

    Returns:
        Scalar: 0 when the teacher's latent is a linear function of the student's, 1 when it is unrelated.
    """
    z = latent.double() - latent.double().mean(0)
    c = teacher_latent.double() - teacher_latent.double().mean(0)
    cross = z.T @ c
    solution = solve_ridge(z.T @ z, cross, ridge)
    return 1 - (cross * solution).sum() / c.square().sum().clamp_min(1e-12)


def distill(
    model: WorldModel,
    encode: Callable[[np.ndarray], Tensor],
    teacher_latents: Tensor,
    config: DistillationConfig,
    training: TrainingConfig,
    seed: tuple[int, ...],
    stop: Callable[[], bool],
    on_loss: Callable[[float], None] = lambda _: None,
) -> int | None:
    """Train a model on a teacher's embeddings of the same ticks.

    Args:
        model: The student.
        encode: Encodes some of the ticks by the student, with a gradient: rows int64 [N] -> [N, D_student].
        teacher_latents: The teacher's embeddings of all ticks, [K, D_teacher].
        config: Number of steps, and of ticks a step.
        training: learning_rate, warmup, weight_decay and grad_clip_norm.
        seed: Seed of the order of the ticks.
        stop: Called before every step; distillation ends early when it returns True.
        on_loss: Called with the loss of every step.

    Returns:
        Ticks read; None when it ended early.

    Raises:
        TrainingError: The loss is not finite.
    """
    model.train()
    optimizer = build_optimizer(model, training)
    teacher_latents = teacher_latents.to(next(model.parameters()).device)
    for step in range(config.steps):
        if stop():
            return None
        rows = np.random.default_rng([*seed, step]).choice(len(teacher_latents), config.batch, replace=False)
        set_lr(optimizer, training.learning_rate * lr_factor(step, config.steps, training.warmup))
        loss = distillation_loss(encode(rows), teacher_latents[rows])
        on_loss(take_step(model, optimizer, loss, training, step))
    return config.steps * config.batch

"""Learn from a peer's embeddings: no parameter, gradient or pixel crosses, only its view of some ticks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from agents.models.world_model import WorldModel
from agents.training.settings import DistillationConfig, TrainingConfig
from agents.training.trainer import build_optimizer, lr_factor, set_lr, take_step


def distillation_loss(latent: Tensor, taught: Tensor, ridge: float = 1e-3) -> Tensor:
    r"""Return the share of the teacher's variance that no linear map from the pupil's code reaches.

    With Z and C the centred codes of pupil and teacher, the best map ``W = (Z^T Z + r I)^-1 Z^T C`` is solved
    in closed form at every step, so that the pupil keeps a language of its own and only the map between the
    two is the teacher's: ``loss = 1 - tr(C^T Z W) / tr(C^T C)``.

    Args:
        latent: [N, D_pupil].
        taught: [N, D_teacher].
        ridge: r relative to the mean diagonal of Z^T Z.

    Returns:
        Scalar, 0 when the teacher's code can be read off the pupil's, 1 when nothing of it can.
    """
    z = latent.double() - latent.double().mean(0)
    c = taught.double() - taught.double().mean(0)
    gram = z.T @ z
    strength = ridge * gram.diagonal().mean() + 1e-12
    cross = z.T @ c
    solved = torch.linalg.solve(gram + strength * torch.eye(len(gram)).to(gram), cross)
    return 1 - (cross * solved).sum() / c.square().sum().clamp_min(1e-12)


def distill(
    model: WorldModel,
    encode: Callable[[np.ndarray], Tensor],
    teacher_latents: Tensor,
    config: DistillationConfig,
    training: TrainingConfig,
    seed: tuple[int, ...],
    stop: Callable[[], bool],
) -> int | None:
    """Fit a model to what a teacher makes of the same ticks.

    Args:
        model: The pupil.
        encode: What the pupil makes of some of the ticks, with a gradient, by row: int64 [N] -> [N, D_pupil].
        teacher_latents: What the teacher makes of the same ticks, [K, D_teacher].
        config: How long, and how many ticks a step.
        training: How fast: learning_rate, warmup, weight_decay and clip are those of a course alone.
        seed: Words that the order of the ticks follows from.
        stop: Called before every step; distillation ends early when it returns True.

    Returns:
        Frames read; None when it left before the end.

    Raises:
        TrainingError: The loss is no number any more.
    """
    model.train()
    optimiser = build_optimizer(model, training)
    teacher_latents = teacher_latents.to(next(model.parameters()).device)
    for step in range(config.steps):
        if stop():
            return None
        rows = np.random.default_rng([*seed, step]).choice(len(teacher_latents), config.batch, replace=False)
        set_lr(optimiser, training.learning_rate * lr_factor(step, config.steps, training.warmup))
        take_step(model, optimiser, distillation_loss(encode(rows), teacher_latents[rows]), training, step)
    return config.steps * config.batch

"""The state of an agent's training as the content of its checkpoint, from which it continues exactly."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from agents.models.world_model import WorldModel
from agents.public_scene import PublicCamera
from agents.snapshot import basis_from_tensors, basis_tensors
from agents.spec import AgentSpec
from agents.training.checkpoint import (
    encode_checkpoint,
    first_not_finite,
    model_tensors,
    optimizer_tensors,
)
from agents.training.loss_curve import LossCurve
from agents.training.stages import drop_stages
from agents.training.trainer import Trainer, TrainingError
from alignment.core import CoreBasis

SAVED_LOSSES = 20_000  # newest losses in a checkpoint; an online agent may train for weeks


class TrainingAgent(Protocol):
    """What of an `agents.agent.Agent` is in its checkpoint."""

    spec: AgentSpec
    model: WorldModel
    trainer: Trainer
    basis: CoreBasis | None
    stage_steps: int | None
    distill_frames: int
    distill_losses: list[float]
    public_camera: PublicCamera | None

    def owner(self) -> dict[str, object]:
        """Return the facts that a file must state to be this agent's."""


def encode_training_state(agent: TrainingAgent) -> bytes:
    """Return the content of an agent's checkpoint: weights, optimizer, core basis and step.

    Raises:
        TrainingError: Weights are not finite.
    """
    spec, trainer = agent.spec, agent.trainer
    tensors = model_tensors(agent.model)
    if agent.model.trains:
        tensors |= optimizer_tensors(trainer.optimizer)
    if agent.basis is not None:
        tensors |= basis_tensors(agent.basis)
    facts = agent.owner() | {
        "step": trainer.step, "core_dim": agent.basis.core_dim if agent.basis else None,
        "losses": trainer.losses[-SAVED_LOSSES:], "frames": trainer.frames,
        "pose_version": spec.pose_version, "distill_frames": agent.distill_frames,
        "distill_losses": agent.distill_losses, "stage_steps": agent.stage_steps,
        "trained_stop": trainer.trained_stop,
    }  # fmt: skip
    if agent.public_camera is not None:  # so that its hash, the version, tells what the anchors are of
        facts["anchor_scene"] = agent.public_camera.scene.fingerprint
    if (name := first_not_finite(tensors)) is not None:
        raise TrainingError(
            f"the weights of {name} are not finite after step {trainer.step}; the last checkpoint "
            f"is kept; try a lower training.learning_rate (now {spec.training.learning_rate:g})"
        )
    return encode_checkpoint(tensors, facts)


def load_training_state(
    agent: TrainingAgent, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Set the state of an agent from its checkpoint; its weights are loaded already.

    Args:
        agent: An agent of the same pose version, at step 0.
        tensors: Those of the checkpoint, by name.
        facts: Those of the checkpoint.
    """
    trainer, losses = agent.trainer, list(facts["losses"])
    trainer.trained_before = int(facts.get("trained_stop", 0))
    trainer.saved = {name: part for name, part in tensors.items() if name.startswith("optimizer.")}
    trainer.step, trainer.losses = int(facts["step"]), losses
    trainer.loss_curve = LossCurve(trainer.step - len(losses), facts["losses"])
    agent.distill_losses = list(facts.get("distill_losses", ()))
    agent.distill_frames, agent.stage_steps = int(facts["distill_frames"]), facts["stage_steps"]
    count_replaced_steps(agent)
    if "basis.mean" in tensors:
        agent.basis = basis_from_tensors(tensors, int(facts["core_dim"]))
    if agent.stage_steps is not None and not trainer.finished:
        agent.stage_steps = None  # it had completed a shorter schedule: its further encoders are of an
        drop_stages(agent.model)  # earlier first one, and are trained again at the end of this schedule


def count_replaced_steps(agent: TrainingAgent) -> None:
    """Note how many steps of the schedule were no training: those of a student and of a frozen encoder."""
    replaced = agent.distill_frames or not agent.model.trains
    agent.trainer.steps_replaced_by_distillation = agent.spec.training.steps if replaced else 0

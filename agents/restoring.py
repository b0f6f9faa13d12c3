"""Restore an agent from the two files in its folder: the model in training, and the one that peers know."""

from typing import TYPE_CHECKING

from agents.snapshot import AgentSnapshot, PublishedModel, basis_from_tensors
from agents.training.checkpoint import (
    CheckpointError,
    DamagedCheckpointError,
    check_owner,
    load_model,
    read_checkpoint,
)
from agents.training.loss_curve import LossCurve
from agents.training.stages import drop_stages

if TYPE_CHECKING:
    from agents.agent import Agent


def restore_agent(agent: "Agent") -> str:
    """Restore the model in training and the published one of an agent from its folder.

    A checkpoint of another pose version restores the weights alone. Of two files, one may be damaged: a
    published model is published again from the checkpoint, and a checkpoint is replaced by the published
    model, with a new optimizer.

    Returns:
        A remark about a file that could not be used; empty when all is well.

    Raises:
        CheckpointError: The checkpoint is missing, of another agent, scene or model size, or damaged as
            well as the published model.
    """
    try:
        _load_checkpoint(agent)
    except DamagedCheckpointError as error:
        return _continue_from_published(agent, error)
    if not agent.published_path.exists() or agent.basis is None:
        return ""
    try:
        published = PublishedModel.load(agent.published_path, agent.owner(), agent.build_model)
    except CheckpointError as error:
        return f"{error.path} {error.reason}; the model is published again from its checkpoint"
    if _is_present(agent, published.snapshot):
        agent.set_published(published)
    return ""


def _load_checkpoint(agent: "Agent") -> None:
    path = agent.checkpoint_path
    tensors, facts, version = read_checkpoint(path)
    check_owner(path, facts, agent.owner())
    load_model(path, agent.model, tensors)
    if int(facts["pose_version"]) != agent.spec.pose_version:
        # the camera moved and the process died before it could save: only the weights are of use
        agent.start_training()
        return
    trainer, losses = agent.trainer, list(facts["losses"])
    trainer.trained_before = int(facts.get("trained_stop", 0))
    agent.checkpoint = version
    trainer.saved = {name: part for name, part in tensors.items() if name.startswith("optimizer.")}
    trainer.step, trainer.losses = int(facts["step"]), losses
    trainer.loss_curve = LossCurve(trainer.step - len(losses), facts["losses"])
    agent.distill_losses = list(facts.get("distill_losses", ()))
    agent.distill_frames, agent.stage_steps = int(facts["distill_frames"]), facts["stage_steps"]
    _count_replaced_steps(agent)
    if "basis.mean" in tensors:
        agent.basis = basis_from_tensors(tensors, int(facts["core_dim"]))
    if agent.stage_steps is not None and not trainer.finished:
        agent.stage_steps = None  # it had completed a shorter schedule: its further encoders are of an
        drop_stages(agent.model)  # earlier first one, and are trained again at the end of this schedule


def _count_replaced_steps(agent: "Agent") -> None:
    """Note how many steps of the schedule were no training: those of a student and of a frozen encoder."""
    replaced = agent.distill_frames or not agent.model.trains
    agent.trainer.steps_replaced_by_distillation = agent.spec.training.steps if replaced else 0


def _continue_from_published(agent: "Agent", damage: DamagedCheckpointError) -> str:
    try:
        published = PublishedModel.load(agent.published_path, agent.owner(), agent.build_model)
    except CheckpointError:
        raise damage from None
    agent.model.load_state_dict(published.model.state_dict())
    progress, trainer = published.snapshot.progress, agent.trainer
    if published.snapshot.pose_version == agent.spec.pose_version:
        trainer.trained_before = published.snapshot.trained_ticks.stop
        # of a frozen encoder, progress shows no steps: its schedule is complete all the same
        trainer.step = progress.step if agent.model.trains else agent.spec.training.steps
        trainer.losses = list(published.snapshot.losses)
        trainer.loss_curve = LossCurve(trainer.step - len(trainer.losses), trainer.losses)
        agent.distill_frames, agent.stage_steps = progress.distill_frames, published.snapshot.stage_steps
        _count_replaced_steps(agent)
        agent.basis = published.basis
        agent.checkpoint = published.snapshot.peer_info.checkpoint
    if _is_present(agent, published.snapshot):
        agent.set_published(published)
    return (
        f"{damage.path} {damage.reason}; it continues with a new optimizer from the model of step "
        f"{progress.step} in {agent.published_path.name}, unless you restore that file and resume again"
    )


def _is_present(agent: "Agent", snapshot: AgentSnapshot) -> bool:
    """Return whether a snapshot is of the present pose, with anchors of the present scene of anchors."""
    of_pose = snapshot.pose_version == agent.spec.pose_version
    return of_pose and snapshot.peer_info.scene == agent.anchor_scene.fingerprint

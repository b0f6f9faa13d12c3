"""Restore an agent from the two files in its folder: the model in training, and the one that peers know."""

from typing import TYPE_CHECKING

from agents.snapshot import AgentSnapshot, PublishedModel
from agents.training.checkpoint import (
    CheckpointError,
    DamagedCheckpointError,
    check_owner,
    load_model,
    read_checkpoint,
)
from agents.training.loss_curve import LossCurve
from agents.training_state import count_replaced_steps, load_training_state

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
    if not agent.files.published_path.exists() or agent.basis is None:
        return ""
    try:
        published = PublishedModel.load(agent.files.published_path, agent.owner(), agent.build_model)
    except CheckpointError as error:
        return f"{error.path} {error.reason}; the model is published again from its checkpoint"
    if _is_present(agent, published.snapshot):
        agent.set_published(published)
    return ""


def _load_checkpoint(agent: "Agent") -> None:
    path = agent.files.checkpoint_path
    tensors, facts, version = read_checkpoint(path)
    check_owner(path, facts, agent.owner())
    load_model(path, agent.model, tensors)
    if int(facts["pose_version"]) != agent.spec.pose_version:
        # the camera moved and the process died before it could save: only the weights are of use
        agent.start_training()
        return
    agent.files.checkpoint = version
    load_training_state(agent, tensors, facts)


def _continue_from_published(agent: "Agent", damage: DamagedCheckpointError) -> str:
    try:
        published = PublishedModel.load(agent.files.published_path, agent.owner(), agent.build_model)
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
        count_replaced_steps(agent)
        agent.basis = published.basis
        agent.files.checkpoint = published.snapshot.peer_info.checkpoint
    if _is_present(agent, published.snapshot):
        agent.set_published(published)
    return (
        f"{damage.path} {damage.reason}; it continues with a new optimizer from the model of step "
        f"{progress.step} in {agent.files.published_path.name}, unless you restore that file and resume again"
    )


def _is_present(agent: "Agent", snapshot: AgentSnapshot) -> bool:
    """Return whether a snapshot is of the present pose, with anchors of the present scene of anchors."""
    of_pose = snapshot.pose_version == agent.spec.pose_version
    return of_pose and snapshot.peer_info.scene == agent.anchor_scene.fingerprint

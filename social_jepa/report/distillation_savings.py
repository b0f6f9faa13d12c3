"""Frames that an agent saved by distilling from a teacher before training alone."""

from dataclasses import dataclass

from social_jepa.graph.results import Results
from social_jepa.records import AgentStatus


@dataclass(frozen=True)
class DistillationSavings:
    """Frames of an agent that distilled, and those that it would need to train alone.

    A frame costs all agents of one size the same, so that shares of frames are shares of compute.

    Attributes:
        read: Frames that its model read by distillation.
        read_alone: Frames that its model reads in training alone.
        recorded: Ticks that its camera recorded to distill from.
        recorded_alone: Ticks that its camera records to train alone.
    """

    read: int
    read_alone: int
    recorded: int
    recorded_alone: int

    @property
    def share_read(self) -> float:
        """Frames read, relative to training alone."""
        return self.read / self.read_alone

    @property
    def share_recorded(self) -> float:
        """Ticks recorded, relative to training alone."""
        return self.recorded / self.recorded_alone


def distillation_savings(results: Results, name: str) -> DistillationSavings:
    """Return the frames that an agent saved by distillation.

    Raises:
        UnknownAgentError, NotPublishedError: There is no such agent, or it has not published a model yet.
    """
    member, agent = results.member(name), results.agent(name)
    config = member.config(results.config)
    training, views = config.training, config.model.sensor_spec_of(member.kind).views
    replay_ticks = training.replay_ticks // views
    return DistillationSavings(
        read=agent.distill_frames,
        read_alone=training.steps * training.segments * training.segment_ticks * views,
        recorded=min(config.distillation.ticks, replay_ticks),
        recorded_alone=replay_ticks,
    )


def describe_savings(teacher: str, agent: AgentStatus, savings: DistillationSavings) -> str:
    """Return a sentence about an agent's savings; if it did not distill, about the reason."""
    if not savings.read:
        return f"not distilled from {teacher}: {agent.note or 'it did not answer'}"
    return (
        f"distilled from {teacher}: its model read {savings.read:,} frames, alone {savings.read_alone:,} "
        f"({savings.share_read:.0%} of the compute); its camera recorded {savings.recorded:,} ticks to "
        f"train on, alone {savings.recorded_alone:,} ({savings.share_recorded:.0%})"
    )

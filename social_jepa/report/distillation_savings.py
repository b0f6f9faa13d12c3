"""What being taught by a peer saved a newcomer."""

from social_jepa.graph.records import AgentStatus
from social_jepa.graph.results import Results


def saving(results: Results, name: str) -> dict[str, float]:
    """Return what being taught saved a newcomer, in frames that its model read and that its camera drew.

    A frame costs every agent of one size the same, so that shares of frames are shares of compute.
    """
    member, agent = results.member(name), results.agent(name)
    config = member.config(results.config)
    course, looks = config.training, config.model.sensor_spec_of(member.kind).views
    alone, window = (
        course.steps * course.segments * course.segment_ticks * looks,
        course.replay_ticks // looks,
    )
    recorded = min(config.distillation.ticks, window)
    return {
        "read": agent.distill_frames, "read_alone": alone,
        "recorded": recorded, "recorded_alone": window,
        "share_read": agent.distill_frames / alone, "share_recorded": recorded / window,
    }  # fmt: skip


def told(teacher: str, agent: AgentStatus, saved: dict[str, float]) -> str:
    """Return a sentence on it; where nothing came of the lesson, why."""
    if not saved["read"]:
        return f"not taught by {teacher}: {agent.note or 'it was silent'}"
    return (
        f"taught by {teacher}: its model read {saved['read']:,} frames, alone {saved['read_alone']:,} "
        f"({saved['share_read']:.0%} of the compute); its camera recorded {saved['recorded']:,} ticks to "
        f"learn from, alone {saved['recorded_alone']:,} ({saved['share_recorded']:.0%})"
    )

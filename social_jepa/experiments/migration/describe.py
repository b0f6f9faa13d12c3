"""Methods paragraph of migration."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.migration.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    alone = len(settings.default_warmup_schedules) + len(settings.long_warmup_schedules)
    objects = ", ".join(map(str, settings.object_counts))
    ticks = [ticks for *_, ticks in settings.distillation_schedules]
    return (
        f"{describe_agents(settings.setup)} The number of objects is {objects} in place of the default. A "
        "teacher has completed this schedule; a student with another camera trains on the teacher's core "
        f"latents of {min(ticks):,} to {max(ticks):,} consecutive ticks, in {len(ticks)} schedules: the loss "
        "is the share of the variance of the teacher's latents that no linear map from the student's "
        f"explains. Training alone is the cheapest of the full schedule and {alone} others, each also scored "
        "at intermediate steps. The score is R2 of a ridge probe of the true state on all dimensions. Costs "
        "are training FLOPs, as torch counts them, and distinct frames, until the score is 85 % or 95 % of "
        "that at the end of the full schedule alone; the cheapest schedule is chosen for each seed, for "
        "both alike."
    )

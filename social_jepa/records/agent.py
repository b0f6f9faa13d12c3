"""Records of an agent's published model: its pose, the ticks that it used, and how well it learned."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from env.camera import Pose
from social_jepa.records.base import (
    MAX_DIM,
    R2,
    Correlation,
    Count,
    Dim,
    Hash,
    Name,
    NonNegative,
    Record,
    Share,
)


class PoseRecord(Record, frozen=True, kw_only=True):
    """Position and direction of a camera, or the view of a source of frames that it shows."""

    x: Annotated[float, Meta(description="Meters from the center of the room.")]
    y: Annotated[float, Meta(ge=0, description="Meters above the floor; 0 with a source of frames.")]
    z: Annotated[float, Meta(description="Meters from the center of the room.")]
    yaw: Annotated[float, Meta(description="Degrees: 0 looks along +x, 90 along -z.")]
    pitch: Annotated[float, Meta(ge=-89, le=89, description="Degrees: negative looks down.")]
    fov: Annotated[float, Meta(ge=1, le=150, description="Vertical field of view in degrees.")]
    view: Annotated[
        Count | None,
        Meta(
            description="View of a source of frames, in the place of the other numbers; null: it is rendered."
        ),
    ] = None

    @classmethod
    def of(cls, pose: Pose) -> "PoseRecord":
        """Return the record of a pose."""
        return cls(
            x=pose.x, y=pose.y, z=pose.z, yaw=pose.yaw, pitch=pose.pitch, fov=pose.fov, view=pose.view
        )  # fmt: skip


class TickRange(Record, frozen=True, kw_only=True):
    """Ticks of the scene at equal distances, from the first up to a limit that is not among them."""

    start: Annotated[Count, Meta(description="First tick.")]
    stop: Annotated[Count, Meta(description="Limit; the last tick is below it.")]
    step: Annotated[int, Meta(ge=1, description="Ticks from one to the next.")]

    @classmethod
    def of(cls, ticks: Sequence[int]) -> "TickRange":
        """Return the record of ticks.

        Raises:
            ValueError: There are none, or they are not at equal distances.
        """
        step = ticks[1] - ticks[0] if len(ticks) > 1 else 1
        if not ticks or step < 1 or tuple(range(ticks[0], ticks[-1] + 1, step)) != tuple(ticks):
            raise ValueError("the ticks are not at equal distances")
        return cls(start=ticks[0], stop=ticks[-1] + 1, step=step)


class AgentRecord(Record, frozen=True, kw_only=True):
    """One agent at the time when it published the model that its peers know."""

    name: Annotated[Name, Meta(description="Name of the agent.")]
    kind: Annotated[str, Meta(min_length=1, description="Kind of its world model.")]
    pose: Annotated[PoseRecord, Meta(description="Pose of its camera.")]
    device: Annotated[str, Meta(min_length=1, description="torch device that it trained on: cpu or cuda:0.")]
    node: Annotated[str, Meta(description="Node of the Ray cluster that it ran on.")]
    dim: Annotated[int, Meta(ge=1, le=MAX_DIM, description="Dimensions of its latent space.")]
    core_dim: Annotated[
        Dim, Meta(description="Number of leading dimensions that are its predictable core; 0: none found.")
    ]
    probe_r2: Annotated[
        R2 | None,
        Meta(
            description="Held-out R2 of a linear probe of the scene's true state, which is hidden from "
            "agents; 1 is perfect, 0 what the mean achieves; null: a source of frames does not know it."
        ),
    ]
    frames_per_s: Annotated[NonNegative, Meta(description="Frames read per second of training time.")]
    checkpoint: Annotated[Hash, Meta(description="Hash of its published model.")]
    collapsed: Annotated[bool, Meta(description="Whether it found its own encoder collapsed.")]
    effective_rank: Annotated[
        NonNegative,
        Meta(
            description="Exponential of the entropy of its latents' covariance spectrum; at most dim, 0 "
            "when nothing varies."
        ),
    ]
    autocorrelation: Annotated[
        tuple[Correlation, ...],
        Meta(
            description="Lag-1 autocorrelation of each dimension on ticks that neither training nor the "
            "axes saw; the core was chosen on them. The first core_dim are the core."
        ),
    ]
    explained: Annotated[
        tuple[Share, ...],
        Meta(
            description="Share of each dimension's variance that a nonlinear regression on the core "
            "dimensions before it explains: below a half for the core, near 1 for functions of it."
        ),
    ]
    noise: Annotated[
        Correlation, Meta(description="Autocorrelation at or below which a dimension counts as noise.")
    ]
    encoders: Annotated[
        int,
        Meta(
            ge=1,
            description="Encoders that its latent is composed of. Each after the first was trained on what "
            "functions of the core before it cannot explain.",
        ),
    ]
    steps: Annotated[Count, Meta(description="Training steps taken, those of further encoders not counted.")]
    stage_steps: Annotated[
        Count, Meta(description="Steps of further encoders, including one that found nothing new.")
    ]
    frames: Annotated[Count, Meta(description="Frames read by training, repeated reads counted.")]
    losses: Annotated[
        tuple[float, ...],
        Meta(description="Training loss after each step; only the newest ones of a long training run."),
    ]
    distill_curve: Annotated[
        tuple[tuple[Count, float], ...],
        Meta(
            description="[step, mean loss since the previous point] of its distillation; empty: it "
            "trained alone."
        ),
    ] = ()
    record_seconds: Annotated[NonNegative, Meta(description="Rendering and encoding, in seconds.")]
    train_seconds: Annotated[NonNegative, Meta(description="Training, in seconds.")]
    distill_frames: Annotated[
        Count, Meta(description="Frames read by distillation from a teacher; 0 when it trained alone.")
    ]
    trained_ticks: Annotated[
        TickRange,
        Meta(description="Ticks that training of its current view may have read, from the first on."),
    ]
    fitted_ticks: Annotated[
        TickRange,
        Meta(description="Ticks that maps are fitted on: every negotiation draws its anchors here."),
    ]
    scored_ticks: Annotated[
        TickRange,
        Meta(
            description="Held-out ticks that maps are scored on; none of them is among the trained or "
            "fitted ones."
        ),
    ]
    pose_version: Annotated[Count, Meta(description="How many times its camera had moved.")]
    incarnation: Annotated[
        int, Meta(ge=1, description="Which of its processes published the model, counted from 1.")
    ]
    published_at: Annotated[
        NonNegative, Meta(description="When the model was published, in seconds since 1970-01-01 00:00 UTC.")
    ]

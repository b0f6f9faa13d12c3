"""Methods paragraph of viewpoint."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.viewpoint.settings import Settings
from social_jepa.experiments.viewpoint.wall import NULL_SHUFFLES


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    angles = ", ".join(f"{degrees:g}" for degrees in settings.separations)
    return (
        f"{describe_agents(settings.setup)} No agent has a body in the scene. One agent is the reference; "
        f"the others differ from it in the camera alone: {angles} degrees along the ring, or "
        f"{settings.camera_angle:g} degrees along it and {settings.high_camera_height:g} m high with a pitch "
        f"of {settings.high_camera_pitch:g} degrees, or with a field of view of {settings.narrow_fov:g} or "
        f"{settings.wide_fov:g} degrees, or with one object never drawn, as behind a wall. The map between "
        f"two detected cores is orthogonal, fitted on {settings.pairs} pairs (or {settings.few_pairs}), and "
        "scored by R2 in both directions. Overlap is the share of the reference's pixels whose point the "
        f"other camera sees, at {settings.overlap_ticks} ticks. Shared dimensions are canonical correlations "
        f"that exceed the largest of {NULL_SHUFFLES} shuffles."
    )

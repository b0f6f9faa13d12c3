"""Renders what the cameras of a run see: the scene is replayed, so no pixels have to leave an agent."""

from collections.abc import Sequence

import numpy as np

from agents.common.streams import Stream, stream_seed
from env.camera import Pose
from env.recording import SensorData, record_frame
from env.renderers.build import share_renderer
from env.scene import Scene
from env.sensors import SensorRecorder, SensorSpec
from social_jepa.graph.query_errors import TickRangeError
from social_jepa.graph.results import Results
from social_jepa.records import body_events


def check_tick(scene: Scene, *ticks: int) -> None:
    """Raise TickRangeError for a tick that a source of frames does not have."""
    for tick in ticks:
        if scene.ticks is not None and not 0 <= tick < scene.ticks:
            raise TickRangeError(tick, scene.ticks - 1)


class Observer:
    """Renders the view of any camera of a run; use it in a ``with`` block, because it holds a renderer."""

    def __init__(self, results: Results) -> None:
        """Build the run's scene and its renderer.

        Raises:
            RuntimeError: The renderer needs OpenGL, which is missing.
        """
        config = results.config
        self._poses = {member.name: Pose.parse(member.pose) for member in results.members}
        self._seeds = {
            member.name: stream_seed(config.seed, member.index, Stream.VIEWS) for member in results.members
        }
        self._scene = Scene(config.scene, config.seed, body_events(results.bodies))
        self._renderer = share_renderer(config.scene)

    def __enter__(self) -> "Observer":
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Free the renderer."""
        self._renderer.close()

    def render(self, name: str, tick: int) -> np.ndarray:
        """Return an agent's view at a tick, uint8 [H, W, 3].

        Raises:
            TickRangeError: A source of frames has no such tick.
        """
        check_tick(self._scene, tick)
        pose = self._scene.camera_pose(self._poses[name], name, tick)
        return record_frame(self._scene, self._renderer, self._scene.state(tick), pose, name)

    def record(self, name: str, ticks: Sequence[int], spec: SensorSpec) -> tuple[np.ndarray, SensorData]:
        """Return frames, uint8 [K, ...], and sensor data of an agent at some ticks.

        Raises:
            TickRangeError: A source of frames has no such tick.
        """
        check_tick(self._scene, *ticks)
        recorder = SensorRecorder(
            self._scene, self._renderer, self._poses[name], name, spec, self._seeds[name]
        )
        return recorder.record(ticks).frames, recorder.sensor_data(np.array(ticks))

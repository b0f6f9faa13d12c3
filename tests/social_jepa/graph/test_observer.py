"""What an observer renders is what the agent recorded, whatever its camera does."""

from dataclasses import replace

import numpy as np

from env.camera_motion import CameraMotionConfig
from env.nuisance import NuisanceConfig
from env.sensors import SensorSpec
from social_jepa.graph.observer import Observer


def test_an_observer_shows_a_moving_camera_with_its_nuisance(small_run):
    moving = replace(
        small_run.config.scene,
        camera_motion=CameraMotionConfig(pan=10.0, walk=0.3),
        nuisance=NuisanceConfig(brightness=0.3, noise=3.0),
    )
    changed = replace(small_run, config=replace(small_run.config, scene=moving))
    frames = []
    for results in (changed, small_run):
        with Observer(results) as observer:
            frames.append(observer.render("agent-1", 7))
            recorded, sensor_data = observer.record("agent-1", [7], SensorSpec())
            assert (frames[-1] == recorded[0]).all()
            assert (sensor_data.camera_actions is None) == (results is small_run)
    assert np.abs(frames[0].astype(int) - frames[1]).mean() > 2

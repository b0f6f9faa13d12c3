from dataclasses import replace

import numpy as np
import pytest

from env.camera import RingConfig, ring_pose
from env.gym.parallel_scene import ParallelScene
from env.gym.shared_scene import SharedScene
from env.nuisance import BRIGHTNESS, HUE, NuisanceConfig, add_nuisance, drifts
from env.recording import Recorder
from env.renderers.build import build_renderer
from env.scene import Scene, SceneConfig
from env.sensors import SensorRecorder, SensorSpec

ALL = NuisanceConfig(brightness=0.3, hue=30.0, noise=4.0)
CONFIG = SceneConfig(renderer="toy", frame_size=16, nuisance=ALL)
POSE = ring_pose(0, RingConfig())
GRAY = np.full((8, 8, 3), 100, dtype=np.uint8)


def recorder(name="a", seed=0, config=CONFIG):
    return Recorder(Scene(config, seed), build_renderer(config), POSE, name)


def test_nothing_differs_by_default():
    assert add_nuisance(GRAY, NuisanceConfig(), 0, "a", 5) is GRAY
    assert not NuisanceConfig().changes_frames


def test_two_recordings_of_a_tick_by_one_camera_are_equal_in_any_order():
    forward = recorder().record(range(8)).frames
    backward = recorder().record(reversed(range(8))).frames
    assert (forward == backward[::-1]).all()


def test_another_camera_and_another_seed_have_other_nuisance():
    frames = recorder().record(range(5)).frames
    assert (frames != recorder("b").record(range(5)).frames).any((1, 2, 3)).all()
    one, other = (drifts(ALL, seed, name, np.arange(20_000)) for seed, name in ((0, "a"), (0, "b")))
    assert np.abs(np.corrcoef(one.T, other.T)[:2, 2:]).max() < 0.1
    assert not np.isclose(one, drifts(ALL, 1, "a", np.arange(20_000))).any()


def test_drifts_have_unit_variance_and_their_own_rates():
    config = NuisanceConfig(brightness_autocorrelation=0.9, hue_autocorrelation=0.5)
    values = drifts(config, 0, "a", np.arange(50_000))
    assert np.abs(values.var(0) - 1).max() < 0.1
    found = [np.corrcoef(values[1:, k], values[:-1, k])[0, 1] for k in (BRIGHTNESS, HUE)]
    assert found == pytest.approx([0.9, 0.5], abs=0.02)


def test_brightness_multiplies_the_frame_by_the_exponential_of_the_drift():
    config = NuisanceConfig(brightness=0.2)
    for tick in range(5):
        expected = 100 * np.exp(0.2 * drifts(config, 3, "a", np.array([tick]))[0, BRIGHTNESS])
        assert np.abs(add_nuisance(GRAY, config, 3, "a", tick).astype(float) - expected).max() <= 0.51


def test_hue_leaves_gray_and_the_mean_of_colors_as_they_are():
    config = NuisanceConfig(hue=40.0)
    color = np.full((4, 4, 3), (150, 90, 60), dtype=np.uint8)
    assert (add_nuisance(GRAY, config, 0, "a", 7) == GRAY).all()
    turned = add_nuisance(color, config, 0, "a", 7).astype(float)
    assert np.abs(turned.mean(-1) - 100).max() < 0.51
    assert np.abs(turned - color).max() > 5


def test_noise_is_independent_between_pixels_ticks_and_views():
    config = NuisanceConfig(noise=5.0)
    big = np.full((64, 64, 3), 100, dtype=np.uint8)
    a, b, c = (
        add_nuisance(big, config, 0, "a", tick, view).astype(float) - 100
        for tick, view in ((0, 0), (1, 0), (0, 1))
    )
    assert a.std() == pytest.approx(5, rel=0.05)
    assert abs(a.mean()) < 0.2
    for other in (b, c, np.roll(a, 1, 0), np.roll(a, 1, 2)):
        assert abs(np.corrcoef(a.ravel(), other.ravel())[0, 1]) < 0.05


def test_every_way_to_record_a_camera_shows_its_nuisance():
    base = replace(CONFIG, nuisance=NuisanceConfig())
    plain, drifting = recorder(config=base), recorder()
    expected = add_nuisance(plain.record([0]).frames[0], ALL, 0, "a", 0)
    assert (drifting.record([0]).frames[0] == expected).all()
    spec = SensorSpec(views=2)
    views = SensorRecorder(drifting.scene, drifting.renderer, POSE, "a", spec, (0,)).record([0]).frames[0]
    clean = SensorRecorder(plain.scene, plain.renderer, POSE, "a", spec, (0,)).record([0]).frames[0]
    assert all((views[k] == add_nuisance(clean[k], ALL, 0, "a", 0, k)).all() for k in range(2))
    environment, shown = SharedScene(CONFIG), SharedScene(base)
    frame, rendered = (each.reset(seed=0)[0] for each in (environment, shown))
    assert (frame == add_nuisance(rendered, ALL, 0, "", 0)).all()
    peers = ParallelScene(CONFIG).reset(seed=0)[0]
    rendered = ParallelScene(base).reset(seed=0)[0]
    for name, frame in peers.items():
        assert (frame == add_nuisance(rendered[name], ALL, 0, name, 0)).all()


def test_the_slowest_drift_that_is_on_sets_the_memory_of_the_scene():
    slow = NuisanceConfig(brightness_autocorrelation=0.99, hue=10.0)
    assert slow.decorrelation_ticks == NuisanceConfig(hue=1.0).decorrelation_ticks == 135
    assert SceneConfig(nuisance=replace(slow, brightness=0.1)).decorrelation_ticks == 688
    assert SceneConfig(nuisance=NuisanceConfig(noise=3.0)).decorrelation_ticks == 20
    assert SceneConfig(dynamics="bounce", nuisance=slow).decorrelation_ticks == 135


def test_nuisance_is_appearance():
    assert Scene(CONFIG, 0).fingerprint == Scene(SceneConfig(), 0).fingerprint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("brightness", -0.1),
        ("brightness", float("inf")),
        ("hue", 181.0),
        ("noise", "3"),
        ("brightness_autocorrelation", 1.0),
        ("hue_autocorrelation", -0.5),
    ],
)
def test_each_invalid_setting_is_rejected_with_its_name(field, value):
    with pytest.raises(ValueError, match=field):
        NuisanceConfig(**{field: value})

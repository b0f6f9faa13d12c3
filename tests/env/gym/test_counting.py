import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy import ndimage

import env  # noqa: F401 - registers the environment
from env.gym.counting import (
    ADD,
    BACKGROUND,
    FOREGROUND,
    KEEP,
    MAX_SHAPES,
    REMOVE,
    SHAPES,
    STAMPS,
    Counting,
    CountingConfig,
    action_columns,
    draw,
    draw_many,
    transition_table,
    transitions,
)

NAME = "SocialJEPA/Counting-v0"


def counted(frame):
    """Return the number of connected components of a picture, 8-connected."""
    bright = frame[..., 0] > 128
    return ndimage.label(bright, np.ones((3, 3)))[1]


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_the_environment_passes_the_gymnasium_checker(render_mode):
    check_env(gymnasium.make(NAME, render_mode=render_mode).unwrapped)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_shows_as_many_shapes_as_its_count(shape):
    rng = generator()
    for count in [*range(9), MAX_SHAPES]:
        frame = draw(count, shape, rng)
        assert frame.shape == (64, 64, 3)
        assert frame.dtype == np.uint8
        assert counted(frame) == count


def test_shapes_differ_in_area_and_keep_it_at_every_position():
    areas = {
        shape: {int((draw(1, shape, generator(s))[..., 0] > 128).sum()) for s in range(20)}
        for shape in SHAPES
    }
    assert all(len(area) == 1 for area in areas.values())
    assert len(set.union(*areas.values())) == len(SHAPES)


def test_positions_of_shapes_are_uniform():
    rng = generator()
    frames = draw_many([4] * 200, ["circle"] * 200, rng)
    assert len({frame.tobytes() for frame in frames}) == 200
    coverage = (frames[..., 0] > 128).mean(0)  # each pixel away from the edge is covered about equally often
    assert coverage[6:-6, 6:-6].min() > 0
    assert coverage.max() < 0.2


def test_equal_generators_draw_equal_pictures_alone_and_in_a_batch():
    assert (draw(5, "line", generator(3)) == draw_many([5], ["line"], generator(3))[0]).all()
    assert (draw(5, "line", generator(3)) != draw(5, "line", generator(4))).any()


def test_pictures_of_a_batch_show_stamps_at_separate_centers_and_nothing_else():
    counts, shapes = generator(1).integers(MAX_SHAPES + 1, size=40), [*SHAPES] * 10
    frames = draw_many(counts, shapes, generator(2))
    for frame, count, shape in zip(frames, counts, shapes, strict=True):
        bright = (frame == FOREGROUND).all(-1)
        labels, found = ndimage.label(bright, np.ones((3, 3)))
        stamp = STAMPS[shape][np.ix_(STAMPS[shape].any(1), STAMPS[shape].any(0))]

        assert found == count
        assert all((labels[box] > 0).tolist() == stamp.tolist() for box in ndimage.find_objects(labels))
        assert (frame[~bright] == BACKGROUND).all()


def test_actions_are_discretized_at_one_third():
    actions = np.array([-1, -0.34, -0.33, 0, 0.33, 0.34, 1])
    assert action_columns(actions).tolist() == [REMOVE, REMOVE, KEEP, KEEP, KEEP, ADD, ADD]


@pytest.mark.parametrize("config", [CountingConfig(), CountingConfig(shape="line", max_count=3, target=0)])
def test_the_transition_table_matches_the_environment(config):
    next_count, reward = transition_table(config)
    assert next_count.shape == (config.max_count + 1, 3)
    world = Counting(config)
    for count in range(config.max_count + 1):
        for column, action in [(REMOVE, -0.7), (KEEP, 0.1), (ADD, 0.7)]:
            before, info = world.reset(seed=count, options={"count": count})
            assert info == {"count": count}
            after, step_reward, terminated, _, info = world.step(np.array([action], dtype=np.float32))
            assert info == {"count": next_count[count, column]}
            assert step_reward == reward[info["count"]]
            assert not terminated
            assert counted(after) == info["count"]
            assert (after == before).all() == (info["count"] == count)


def test_an_episode_is_truncated_after_its_steps():
    world = Counting(CountingConfig(steps=3))
    world.reset(seed=0)
    assert [world.step(np.zeros(1))[3] for _ in range(3)] == [False, False, True]


def test_equal_seeds_give_equal_episodes_and_different_seeds_differ():
    def play(seed):
        world = Counting()
        frames = [world.reset(seed=seed)[0]]
        frames += [world.step(np.array([action]))[0] for action in (0.9, 0.9, -0.9)]
        return np.stack(frames)

    assert (play(5) == play(5)).all()
    assert (play(5) != play(6)).any()


def test_initial_counts_and_shapes_are_random():
    world = Counting()
    world.reset(seed=0)
    assert {world.reset()[1]["count"] for _ in range(150)} == set(range(9))
    areas = {int((world.reset(options={"count": 1})[0][..., 0] > 128).sum()) for _ in range(40)}
    assert len(areas) == len(SHAPES)


def test_changing_a_returned_frame_does_not_change_the_environment():
    world = Counting(render_mode="rgb_array")
    first = world.reset(seed=0)[0]
    kept = first.copy()
    first[:] = 0
    assert (world.step(np.zeros(1))[0] == kept).all()
    assert (world.render() == kept).all()


def test_transitions_follow_the_transition_table():
    config = CountingConfig()
    next_count, reward = transition_table(config)
    batch = transitions(generator(), 300, config)
    assert batch.actions.shape == (300, 1)
    assert batch.actions.dtype == np.float32
    assert np.abs(batch.actions).max() <= 1
    assert set(batch.counts) == set(range(9))
    assert (batch.next_counts == next_count[batch.counts, action_columns(batch.actions[:, 0])]).all()
    assert (batch.rewards == reward[batch.next_counts]).all()
    assert [counted(frame) for frame in batch.frames] == batch.counts.tolist()
    assert [counted(frame) for frame in batch.next_frames] == batch.next_counts.tolist()
    same = (batch.frames == batch.next_frames).all((1, 2, 3))
    assert (same == (batch.counts == batch.next_counts)).all()


def test_equal_generators_draw_equal_transitions():
    one, two, other = (transitions(generator(seed), 20) for seed in (1, 1, 2))
    assert (one.next_frames == two.next_frames).all()
    assert (one.frames != other.frames).any()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"shape": "star"}, "circle, square"),
        ({"max_count": 0}, "max_count"),
        ({"max_count": 17}, "max_count"),
        ({"target": 9}, "target"),
        ({"target": -1}, "target"),
        ({"steps": 0}, "steps"),
        ({"steps": True}, "steps"),
    ],
)
def test_each_invalid_setting_is_rejected_with_its_name(settings, field):
    with pytest.raises(ValueError, match=field):
        CountingConfig(**settings)


def test_invalid_arguments_are_rejected():
    world = Counting()
    with pytest.raises(RuntimeError, match="reset"):
        world.step(np.zeros(1))
    with pytest.raises(ValueError, match="render_mode"):
        Counting(render_mode="human")
    with pytest.raises(ValueError, match="count must be an integer from 0 to 8"):
        world.reset(options={"count": 9})
    with pytest.raises(ValueError, match="only option"):
        world.reset(options={"number": 1})
    world.reset(seed=0)
    for action in (np.zeros(2), np.array([1.5]), np.array([np.nan])):
        with pytest.raises(ValueError, match="between -1 and 1"):
            world.step(action)
    with pytest.raises(ValueError, match="from 0 to 16"):
        draw(17, "circle", generator())
    with pytest.raises(ValueError, match="one of circle"):
        draw(1, "any", generator())
    with pytest.raises(ValueError, match="one shape for each"):
        draw_many([1, 2], ["circle"], generator())
    with pytest.raises(ValueError, match="n must be"):
        transitions(generator(), 0)

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy import ndimage

import env  # noqa: F401 - registers the environment
from env.gym.counting import (
    ADD,
    KEEP,
    MOST,
    REMOVE,
    SHAPES,
    Counting,
    CountingConfig,
    columns,
    draw,
    draw_many,
    transition_table,
    transitions,
)

NAME = "SocialJEPA/Counting-v0"


def counted(frame):
    """How many separate things a picture shows, corners counting as contact."""
    bright = frame[..., 0] > 128
    return ndimage.label(bright, np.ones((3, 3)))[1]


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_gymnasium_finds_nothing_to_object_to(render_mode):
    check_env(gymnasium.make(NAME, render_mode=render_mode).unwrapped)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_count_can_be_seen(shape):
    rng = generator()
    for count in [*range(9), MOST]:
        frame = draw(count, shape, rng)
        assert frame.shape == (64, 64, 3)
        assert frame.dtype == np.uint8
        assert counted(frame) == count


def test_the_four_shapes_look_different_and_a_shape_looks_the_same_everywhere():
    inks = {
        shape: {int((draw(1, shape, generator(s))[..., 0] > 128).sum()) for s in range(20)}
        for shape in SHAPES
    }
    assert all(len(ink) == 1 for ink in inks.values())
    assert len(set.union(*inks.values())) == len(SHAPES)


def test_two_pictures_of_a_count_share_nothing_but_the_count():
    rng = generator()
    frames = draw_many([4] * 200, ["circle"] * 200, rng)
    assert len({frame.tobytes() for frame in frames}) == 200
    ink = (frames[..., 0] > 128).mean(0)  # each pixel away from the edge is covered about equally often
    assert ink[6:-6, 6:-6].min() > 0
    assert ink.max() < 0.2


def test_one_picture_is_a_batch_of_one_and_equal_generators_draw_equal_pictures():
    assert (draw(5, "line", generator(3)) == draw_many([5], ["line"], generator(3))[0]).all()
    assert (draw(5, "line", generator(3)) != draw(5, "line", generator(4))).any()


def test_actions_fall_into_thirds():
    actions = np.array([-1, -0.34, -0.33, 0, 0.33, 0.34, 1])
    assert columns(actions).tolist() == [REMOVE, REMOVE, KEEP, KEEP, KEEP, ADD, ADD]


@pytest.mark.parametrize("config", [CountingConfig(), CountingConfig(shape="line", most=3, target=0)])
def test_the_table_is_what_the_environment_does(config):
    next_count, reward = transition_table(config)
    assert next_count.shape == (config.most + 1, 3)
    world = Counting(config)
    for count in range(config.most + 1):
        for column, action in [(REMOVE, -0.7), (KEEP, 0.1), (ADD, 0.7)]:
            before, info = world.reset(seed=count, options={"count": count})
            assert info == {"count": count}
            after, gained, terminated, _, info = world.step(np.array([action], dtype=np.float32))
            assert info == {"count": next_count[count, column]}
            assert gained == reward[info["count"]]
            assert not terminated
            assert counted(after) == info["count"]
            assert (after == before).all() == (info["count"] == count)


def test_an_episode_is_truncated_after_its_steps():
    world = Counting(CountingConfig(steps=3))
    world.reset(seed=0)
    assert [world.step(np.zeros(1))[3] for _ in range(3)] == [False, False, True]


def test_equal_seeds_play_equal_episodes_and_others_differ():
    def play(seed):
        world = Counting()
        frames = [world.reset(seed=seed)[0]]
        frames += [world.step(np.array([action]))[0] for action in (0.9, 0.9, -0.9)]
        return np.stack(frames)

    assert (play(5) == play(5)).all()
    assert (play(5) != play(6)).any()


def test_episodes_start_with_every_count_and_show_every_shape():
    world = Counting()
    world.reset(seed=0)
    assert {world.reset()[1]["count"] for _ in range(150)} == set(range(9))
    inks = {int((world.reset(options={"count": 1})[0][..., 0] > 128).sum()) for _ in range(40)}
    assert len(inks) == len(SHAPES)


def test_what_is_done_to_a_frame_does_not_reach_the_world():
    world = Counting(render_mode="rgb_array")
    first = world.reset(seed=0)[0]
    kept = first.copy()
    first[:] = 0
    assert (world.step(np.zeros(1))[0] == kept).all()
    assert (world.render() == kept).all()


def test_a_batch_of_transitions_obeys_the_table():
    config = CountingConfig()
    next_count, reward = transition_table(config)
    batch = transitions(generator(), 300, config)
    assert batch.actions.shape == (300, 1)
    assert batch.actions.dtype == np.float32
    assert np.abs(batch.actions).max() <= 1
    assert set(batch.counts) == set(range(9))
    assert (batch.next_counts == next_count[batch.counts, columns(batch.actions[:, 0])]).all()
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
        ({"most": 0}, "most"),
        ({"most": 17}, "most"),
        ({"target": 9}, "target"),
        ({"target": -1}, "target"),
        ({"steps": 0}, "steps"),
        ({"steps": True}, "steps"),
    ],
)
def test_each_bad_setting_is_refused_by_name(settings, field):
    with pytest.raises(ValueError, match=field):
        CountingConfig(**settings)


def test_what_cannot_be_counted_is_refused():
    world = Counting()
    with pytest.raises(RuntimeError, match="reset"):
        world.step(np.zeros(1))
    with pytest.raises(ValueError, match="render_mode"):
        Counting(render_mode="human")
    with pytest.raises(ValueError, match="count must be a whole number from 0 to 8"):
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

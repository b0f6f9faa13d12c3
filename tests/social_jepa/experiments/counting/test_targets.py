import numpy as np
import pytest

from env.gym.counting import Counting, CountingConfig, action_columns, transition_table
from social_jepa.experiments.counting.targets import (
    ACTION_PROBABILITIES,
    TARGETS,
    random_action_values,
    target_table,
)

WORLD = CountingConfig(max_count=8, target=4)
WORLDS = (WORLD, CountingConfig(max_count=3, target=0), CountingConfig(max_count=1, target=1))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("discount", [0.0, 0.5, 0.95, 1.0])
def test_values_satisfy_their_bellman_equation(world, discount):
    next_count, reward = transition_table(world)
    values = random_action_values(world, discount)
    later = reward[next_count] + discount * (1 - reward[next_count]) * values[next_count]

    np.testing.assert_allclose(values, (later * ACTION_PROBABILITIES).sum(1), atol=1e-12)
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()


def test_values_are_the_mean_discounted_rewards_of_random_episodes():
    rng, discount, episodes = np.random.default_rng(0), 0.9, 20_000
    next_count, reward = transition_table(WORLD)
    for start in (0, 3, 4):
        count, total, factor = np.full(episodes, start), np.zeros(episodes), np.ones(episodes)
        for _ in range(150):
            count = next_count[count, action_columns(rng.uniform(-1, 1, episodes))]
            total += factor * reward[count]
            factor *= discount * (1 - reward[count])  # an episode ends at the target
        assert random_action_values(WORLD, discount)[start] == pytest.approx(total.mean(), abs=0.01)


def test_values_decrease_with_the_distance_to_the_target_and_are_symmetric():
    values = random_action_values(WORLD, 0.95)

    assert (np.diff(values[:5]) > 0).all()
    np.testing.assert_allclose(values, values[::-1])
    np.testing.assert_allclose(random_action_values(WORLD, 1.0), 1)  # every state reaches the target
    np.testing.assert_allclose(random_action_values(WORLD, 0.0), [0, 0, 0, 1 / 3, 1 / 3, 1 / 3, 0, 0, 0])


def test_probabilities_of_actions_are_those_of_uniform_actions():
    drawn = action_columns(np.random.default_rng(0).uniform(-1, 1, 100_000))

    assert ACTION_PROBABILITIES.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), ACTION_PROBABILITIES, atol=0.01)


def test_reward_and_termination_of_a_frame_are_those_of_a_step_that_ends_in_it():
    table = target_table(WORLD, 0.95)
    assert table.shape == (9, len(TARGETS))
    env = Counting(WORLD)
    for count in range(9):
        env.reset(seed=count, options={"count": count})
        reward = env.step(np.zeros(1))[1]  # keeps every shape
        assert table[count, :2].tolist() == [reward, reward]

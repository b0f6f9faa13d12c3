"""Targets of the three heads, reward, termination and value, as functions of the count of a frame."""

import numpy as np

from env.gym.counting import ACTION_THRESHOLD, CountingConfig, transition_table

TARGETS = ("reward", "termination", "value")
# Of REMOVE, KEEP and ADD, the columns of the transition table, under actions uniform in [-1, 1].
ACTION_PROBABILITIES = np.array([1 - ACTION_THRESHOLD, 2 * ACTION_THRESHOLD, 1 - ACTION_THRESHOLD]) / 2


def target_table(world: CountingConfig, discount: float) -> np.ndarray:
    """Return reward, termination and value of a frame with each number of shapes, float64 [S, 3].

    The reward of a frame is that of a step that ends in it: 1 at the target. An episode ends there, so that
    termination equals the reward; that it also ends after a number of steps is no function of the frame.

    Args:
        world: The environment, with S = max_count + 1 states.
        discount: Of the value, from 0 to 1.
    """
    reward = transition_table(world)[1]
    return np.column_stack([reward, reward, random_action_values(world, discount)])


def random_action_values(world: CountingConfig, discount: float) -> np.ndarray:
    """Return the expected discounted reward under random actions by the number of shapes, float64 [S].

    The values solve ``V(s) = E[r(s') + discount (1 - r(s')) V(s')]``, where s' follows a random action in s
    and r is 1 at the target, where an episode ends, and 0 elsewhere. A state without a path to the target has
    the value 0. An episode may start at the target, which then has a value of its own.

    Args:
        world: The environment, with S = max_count + 1 states.
        discount: From 0 to 1. With 1, V is the probability of ever reaching the target.
    """
    next_count, reward = transition_table(world)
    states = len(reward)
    probability = np.zeros((states, states))  # of s' after s
    np.add.at(probability, (np.arange(states)[:, None], next_count), ACTION_PROBABILITIES)
    onward = discount * probability * (1 - reward)
    return np.linalg.solve(np.eye(states) - onward, probability @ reward)

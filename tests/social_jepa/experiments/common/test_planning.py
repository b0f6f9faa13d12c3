"""Laws of planning: what episodes start from, and how success is counted."""

import numpy as np
import pytest

from social_jepa.experiments.common.planning import PlanningConfig, draw_episodes, success_scores


def test_no_tick_is_start_or_goal_twice_and_episodes_end_within_the_range():
    config = PlanningConfig(episodes=20, ticks=10)
    starts, goals = draw_episodes(np.random.default_rng(1), 60, config)

    assert len(starts) == len(goals) == 20
    assert len({*starts.tolist(), *goals.tolist()}) == 40
    assert max(starts.max(), goals.max()) < 50


def test_success_counts_episodes_that_end_near_the_goal_relative_to_the_own_one():
    own = np.array([[1.0, 1.0, 1.0, 1.0], [0.1, 0.1, 0.3, 0.1]])
    other = np.array([[0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.1]])  # that it was near before does not count
    scores = success_scores({"own goal": own, "peer's goal": other}, 0.15)

    assert scores["own goal"].score == 0.75
    assert scores["peer's goal"].score == 0.5
    assert scores["1 - success ratio of own goal"].score == 0
    assert scores["1 - success ratio of peer's goal"].score == pytest.approx(1 / 3)
    assert scores["distance: peer's goal"].score == pytest.approx(0.175)

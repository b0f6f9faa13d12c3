from social_jepa.runtime.restarts import FORGIVEN_AFTER, LONGEST_PAUSE, MAX_RESTARTS, Restarts


def test_pauses_grow_while_no_step_is_gained_and_then_the_agent_is_given_up():
    restarts = Restarts()
    pauses = [restarts.after_death("a", 5) for _ in range(MAX_RESTARTS + 1)]

    assert pauses[:-1] == [0.5, 1.0, 2.0]
    assert pauses[-1] is None
    assert restarts.own_deaths("a") == MAX_RESTARTS + 1


def test_an_agent_that_gains_steps_between_its_deaths_is_restarted_for_ever():
    restarts = Restarts()

    assert {restarts.after_death("a", step) for step in range(1, 50)} == {0.5}


def test_a_step_that_was_reached_before_is_no_gain():
    restarts = Restarts()

    assert [restarts.after_death("a", step) for step in (9, 7, 9, 8)] == [0.5, 1.0, 2.0, None]


def test_the_loss_of_nodes_only_makes_the_pause_grow_up_to_a_limit():
    restarts = Restarts()
    pauses = [restarts.after_death("a", 0, counts=False) for _ in range(20)]

    assert None not in pauses
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_lost_nodes_do_not_count_towards_giving_an_agent_up():
    restarts = Restarts()
    pauses = [restarts.after_death("a", 0, counts) for counts in (False, False, False, True)]

    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert restarts.own_deaths("a") == 1


def test_deaths_that_lie_far_apart_do_not_add_up_though_no_step_is_gained():
    restarts = Restarts(FORGIVEN_AFTER)
    apart = [restarts.after_death("frozen", 0, now=k * 2 * FORGIVEN_AFTER) for k in range(9)]
    within = [restarts.after_death("broken", 0, now=k * FORGIVEN_AFTER) for k in range(4)]

    assert apart == [0.5] * 9
    assert within == [0.5, 1.0, 2.0, None]
    in_a_batch = Restarts()
    assert [in_a_batch.after_death("a", 0, now=k * 1e9) for k in range(4)] == [0.5, 1.0, 2.0, None]


def test_an_agent_that_begins_anew_gains_steps_that_it_had_before():
    restarts = Restarts()
    restarts.after_death("a", 500_000)
    restarts.forget("a")

    assert [restarts.after_death("a", step) for step in (10, 20, 30, 40, 50)] == [0.5] * 5


def test_agents_do_not_share_a_history_and_one_that_left_has_none():
    restarts = Restarts()
    restarts.after_death("a", 0)

    assert restarts.after_death("b", 0) == 0.5
    restarts.forget("a")
    assert (restarts.own_deaths("a"), restarts.after_death("a", 0)) == (0, 0.5)

"""Every request of another thread is called once, in order, or fails with the reason."""

import threading
from types import SimpleNamespace

import pytest

from agents.request_queue import AgentStoppedError, RequestQueue

AGENT = SimpleNamespace(spec=SimpleNamespace(name="agent-0"))


def test_requests_are_called_in_their_order_each_once():
    queue, order = RequestQueue(), []
    futures = [queue.submit(lambda agent, k=k: order.append(k) or (agent, k)) for k in range(5)]
    queue.serve(AGENT)
    queue.serve(AGENT)

    assert order == list(range(5))
    assert [future.result(0) for future in futures] == [(AGENT, k) for k in range(5)]


def test_an_error_is_its_callers_and_later_requests_are_called():
    queue = RequestQueue()
    wrong, right = queue.submit(lambda _: 1 / 0), queue.submit(lambda _: 1)
    queue.serve(AGENT)

    assert right.result(0) == 1
    with pytest.raises(ZeroDivisionError):
        wrong.result(0)


def test_an_exit_ends_the_thread_of_the_agent_and_not_that_of_the_caller():
    queue = RequestQueue()

    def leave(_):
        raise SystemExit(3)

    left, later = queue.submit(leave), queue.submit(lambda _: 1)
    with pytest.raises(SystemExit):
        queue.serve(AGENT)
    queue.fail("it has failed")

    with pytest.raises(RuntimeError, match="SystemExit"):
        left.result(0)
    with pytest.raises(AgentStoppedError, match="accepts no more requests: it has failed"):
        later.result(0)


def test_requests_of_many_threads_each_end_once():
    queue, futures, ran = RequestQueue(), [], []

    def submit_many():
        futures.extend(queue.submit(lambda _: ran.append(1)) for _ in range(200))

    threads = [threading.Thread(target=submit_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        queue.serve(AGENT)
    queue.fail("it is stopping")

    failed = sum(future.exception(0) is not None for future in futures)
    assert len(futures) == 800 == len(ran) + failed


def test_a_cancelled_request_is_never_called():
    queue, ran = RequestQueue(), []
    first, second = (queue.submit(lambda _: ran.append(1)) for _ in range(2))
    assert first.cancel()
    queue.serve(AGENT)
    assert second.done()
    third = queue.submit(lambda _: ran.append(1))
    assert third.cancel()
    queue.fail("it is stopping")

    assert ran == [1]

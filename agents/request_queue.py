"""Functions that other threads want called on the thread of an agent, in the order in which they came."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from agents.failure import Failure

if TYPE_CHECKING:
    from agents.agent import Agent

    Request = Callable[[Agent], Any]


class AgentStoppedError(RuntimeError):
    """Request to an agent whose thread has ended or is stopping.

    Attributes:
        reason: Why it does not run.
    """

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        """Return the sentence."""
        return f"the agent accepts no more requests: {self.reason}"


class RequestQueue:
    """The open requests to one agent; its methods may be called from several threads."""

    def __init__(self) -> None:
        """Start without requests."""
        self._requests: deque[tuple[Request, Future[Any]]] = deque()

    def submit(self, request: "Request") -> "Future[Any]":
        """Return the future result of a function of the agent, which `serve` calls or `fail` leaves out."""
        future: Future[Any] = Future()
        self._requests.append((request, future))
        return future

    def serve(self, agent: "Agent") -> None:
        """Call the open requests on the calling thread; what they return or raise is their callers'.

        Raises:
            BaseException: A request raised one that is no Exception, such as SystemExit. Its caller gets a
                RuntimeError, since it would end the caller's process, and later requests stay open.
        """
        for request, future in self._pop_all():
            if not future.set_running_or_notify_cancel():  # the caller has given up on it
                continue
            try:
                future.set_result(request(agent))
            except Exception as error:  # it is the caller's, who waits for the future
                future.set_exception(error)
            except BaseException as error:  # SystemExit would end the caller's process
                future.set_exception(RuntimeError(str(Failure.of(error, agent.spec.name))))
                raise

    def fail(self, reason: str) -> None:
        """Let the open requests raise AgentStoppedError with a reason."""
        for _, future in self._pop_all():
            if future.set_running_or_notify_cancel():
                future.set_exception(AgentStoppedError(reason))

    def _pop_all(self) -> "Iterator[tuple[Request, Future[Any]]]":
        with contextlib.suppress(IndexError):  # another thread may take the last one
            while True:
                yield self._requests.popleft()

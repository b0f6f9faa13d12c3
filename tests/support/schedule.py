"""A scheduler in virtual time, for tests of what happens later."""

import heapq
import itertools


class VirtualScheduler:
    """Calls functions in the order of their times, when the test says so; nothing waits."""

    def __init__(self):
        self.now, self._waiting, self._numbers = 0.0, [], itertools.count()

    def call_later(self, seconds, function):
        """Call a function after so many virtual seconds."""
        heapq.heappush(self._waiting, (self.now + seconds, next(self._numbers), function))

    def run(self):
        """Call all functions, and those that they add; return how many."""
        called = 0
        while self._waiting:
            self.now, _, function = heapq.heappop(self._waiting)
            function()
            called += 1
        return called

"""The loss of a whole training run in a bounded number of points, for observers."""

from collections.abc import Iterable

Points = tuple[tuple[int, float], ...]  # (step, mean loss of the steps since the previous point)

MAX_POINTS = 128


class LossCurve:
    """Means of the loss over equally many steps each; the number of steps doubles as the curve grows.

    One thread adds losses; any thread may read points.
    """

    def __init__(self, first: int = 0, losses: Iterable[float] = ()) -> None:
        """Start after a step, with the losses of the steps that follow it."""
        self._first = first
        self._stride, self._means = 1, list[float]()
        self._state = self._stride, self._means, 0.0, 0  # read as one: the last two are the unfinished mean
        for loss in losses:
            self.add(loss)

    def add(self, loss: float) -> None:
        """Add the loss of the next step."""
        stride, means, total, count = self._state
        total, count = total + loss, count + 1
        if count == stride:
            means, total, count = [*means, total / count], 0.0, 0
        if len(means) == 2 * MAX_POINTS:
            halves = zip(means[::2], means[1::2], strict=True)
            stride, means = 2 * stride, [(one + other) / 2 for one, other in halves]
        self._state = stride, means, total, count

    def points(self) -> Points:
        """Return (step, mean loss) up to the newest step, at most 2 * MAX_POINTS of them."""
        stride, means, total, count = self._state
        found = [(self._first + stride * (index + 1), mean) for index, mean in enumerate(means)]
        if count:
            found.append((self._first + stride * len(means) + count, total / count))
        return tuple(found)

"""Objects seen from several sides, drawn once per process and split by the words of their generators."""

from functools import lru_cache

import numpy as np

from env.objects.dataset import ObjectDataset, ObjectsConfig, ObjectViews
from env.objects.rotation import relative_quaternions

# The second word of a generator says what its objects are for, so that no two sets share an object.
TRAINING, PROBE, SCORING, UNSEEN_PROBE, UNSEEN_SCORING = 1, 2, 3, 4, 5


@lru_cache(maxsize=5)  # the sets of one seed: the parts of a seed that share a process draw them once
def drawn(
    config: ObjectsConfig, words: tuple[int, ...], objects: int, views: int, split: str = "seen"
) -> ObjectViews:
    """Return objects and their views; equal arguments give equal pixels.

    Args:
        config: What is drawn.
        words: Of the generator, (seed, what the objects are for).
        objects: N.
        views: M, of each object.
        split: Which classes: seen, unseen or all.

    Raises:
        RuntimeError: The renderer needs OpenGL and it is missing.
    """
    source = ObjectDataset(config)
    try:
        return source.sample(np.random.default_rng(list(words)), objects, views, split)
    finally:
        source.close()


def sequences(
    pool: ObjectViews, rng: np.random.Generator, count: int, views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw objects of a pool, each once, and some of the views of each, in any order.

    Args:
        pool: Where they come from.
        rng: Draws objects and orders.
        count: n, objects; at most those of the pool.
        views: m, views of each; at most those of the pool.

    Returns:
        (frames uint8 [n, m, H, W, 3], float32 quaternions [n, m - 1, 4] from each view to the next).
    """
    chosen = rng.choice(len(pool.frames), size=count, replace=False)[:, None]
    order = rng.permuted(np.tile(np.arange(pool.frames.shape[1]), (count, 1)), axis=1)[:, :views]
    rotations = pool.rotations[chosen, order]
    return pool.frames[chosen, order], moves(rotations)


def moves(rotations: np.ndarray) -> np.ndarray:
    """Return the rotation from each view to the next, [n, m, 4] -> float32 [n, m - 1, 4]."""
    return relative_quaternions(rotations[:, :-1], rotations[:, 1:]).astype(np.float32)


def starts(views: int, length: int) -> np.ndarray:
    """Return the sequences of a length that a circle of views holds, [views, length] numbers of views.

    Every length gets equally many, so that no classifier has more to learn from than another.
    """
    return (np.arange(views)[:, None] + np.arange(length)) % views


def ordered_pairs(views: int) -> np.ndarray:
    """Return all (first, last) with first != last, int64 [views * (views - 1), 2]."""
    first, last = np.divmod(np.arange(views * views), views)
    return np.stack([first, last], axis=1)[first != last]


def shuffled(rng: np.random.Generator, targets: np.ndarray) -> np.ndarray:
    """Return targets with their rows in a new order, so that they belong to other rows."""
    return targets[rng.permutation(len(targets))]

"""Objects seen from several sides: sampling, sequences of views with relative rotations, and index sets."""

from functools import lru_cache

import numpy as np

from env.objects.dataset import ObjectDataset, ObjectsConfig, ObjectViews
from env.objects.rotation import relative_quaternions


@lru_cache(maxsize=5)  # the five sets of one seed, which all conditions in a process share
def sample_objects(
    config: ObjectsConfig, seed: tuple[int, ...], objects: int, views: int, split: str = "seen"
) -> ObjectViews:
    """Return objects and their views; equal arguments give equal pixels.

    Args:
        config: Settings of the objects.
        seed: Words of the generator's seed: the seed of the run and the stream.
        objects: N.
        views: M, of each object.
        split: Classes to draw from: seen, unseen or all.

    Raises:
        RuntimeError: The renderer needs OpenGL and it is missing.
    """
    source = ObjectDataset(config)
    try:
        return source.sample(np.random.default_rng(list(seed)), objects, views, split)
    finally:
        source.close()


def sample_sequences(
    pool: ObjectViews, rng: np.random.Generator, count: int, views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw different objects of a pool, and some of the views of each in random order.

    Args:
        pool: Objects and views to draw from.
        rng: Draws objects and orders.
        count: n, objects; at most those of the pool.
        views: m, views of each; at most those of the pool.

    Returns:
        (frames uint8 [n, m, H, W, 3], float32 quaternions [n, m - 1, 4] from each view to the next).
    """
    chosen = rng.choice(len(pool.frames), size=count, replace=False)[:, None]
    order = rng.permuted(np.tile(np.arange(pool.frames.shape[1]), (count, 1)), axis=1)[:, :views]
    rotations = pool.rotations[chosen, order]
    return pool.frames[chosen, order], consecutive_rotations(rotations)


def consecutive_rotations(rotations: np.ndarray) -> np.ndarray:
    """Return the relative rotation from each view to the next, [n, m, 4] -> float32 [n, m - 1, 4]."""
    return relative_quaternions(rotations[:, :-1], rotations[:, 1:]).astype(np.float32)


def circular_windows(views: int, length: int) -> np.ndarray:
    """Return the windows of consecutive views in a circle, [views, length] indices.

    Every length has the same number of windows, so that all classifiers are fitted on equally many samples.
    """
    return (np.arange(views)[:, None] + np.arange(length)) % views


def ordered_view_pairs(views: int) -> np.ndarray:
    """Return all (first, last) with first != last, int64 [views * (views - 1), 2]."""
    first, last = np.divmod(np.arange(views * views), views)
    return np.stack([first, last], axis=1)[first != last]


def shuffle_rows(rng: np.random.Generator, targets: np.ndarray) -> np.ndarray:
    """Return targets with their rows permuted, for the null of a probe."""
    return targets[rng.permutation(len(targets))]

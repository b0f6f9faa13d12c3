"""Planted tables of embeddings: two encoders that share some factors and have private ones."""

import numpy as np


def rotation(rng, dim):
    return np.linalg.qr(rng.standard_normal((dim, dim)))[0]


def planted(seed, rows, dims, shared, rate=0.0, noise=0.1):
    """Return two tables [rows, dims[k]], each mixed by a rotation; factors have this autocorrelation."""
    rng = np.random.default_rng(seed)
    total = shared + sum(dim - shared for dim in dims)
    world = rng.standard_normal((rows, total))
    for row in range(1, rows if rate else 1):
        world[row] = rate * world[row - 1] + (1 - rate**2) ** 0.5 * world[row]
    own = np.split(world[:, shared:], [dims[0] - shared], axis=1)
    return [
        (np.c_[world[:, :shared], part] + noise * rng.standard_normal((rows, dim))) @ rotation(rng, dim)
        for part, dim in zip(own, dims, strict=True)
    ]

r"""Maps between the axes of two agents from few pairs, or from none: signs, a permutation, skewness.

If the axes of two agents are the same factors of the scene, sorted by their autocorrelations, they differ
only in sign. With x_k and y_k the latents of pair k, axis by axis, and D_i and D_j the numbers of axes:

    signs        s = sign(sum_k x_k y_k)
    shrunk       tanh(sum_k x_k y_k c / (1 - c^2)) c: the posterior mean of the target given the pairs and
                 x, if the two axes correlate by +c or -c with equal prior probability
    permutation  the signed permutation of the highest likelihood of the pairs and of the two spectra
    orthogonal   the orthogonal map of the least error on the pairs (Procrustes), for which axes mean nothing;
                 directions that the pairs leave undetermined are dropped
    shrunk orthogonal
                 the same, with each pair of singular directions shrunk as a sign is

Where the numbers of axes differ, the trailing ones of the larger side have no partner.
"""

from itertools import product

import numpy as np
from scipy.optimize import linear_sum_assignment

from alignment.core import ROUNDING

CORRELATION = 0.95  # prior: correlation of two agents' axes for the same factor
# prior: standard deviation between two agents' estimates of one autocorrelation; up to 0.011 on seed 100
SPECTRUM_NOISE = 0.01


def signs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the sign of each axis, [n, D_i] and [n, D_j] -> [D_i, D_j], 0 off the diagonal."""
    return _diagonal(np.where(_products(x, y) < 0, -1.0, 1.0), x, y)


def shrunk_signs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the signs, each shrunk by its uncertainty, [n, D_i] and [n, D_j] -> [D_i, D_j]."""
    return _diagonal(_shrink(_products(x, y)), x, y)


def signed_permutation(
    x: np.ndarray, y: np.ndarray, source_spectrum: np.ndarray, target_spectrum: np.ndarray
) -> np.ndarray:
    """Return the signed permutation of the highest likelihood, [D_i, D_j].

    Args:
        x: [n, D_i], the source's pairs.
        y: [n, D_j], the target's pairs.
        source_spectrum: [D_i], autocorrelations of the source's axes.
        target_spectrum: [D_j], autocorrelations of the target's axes.
    """
    products = x.T @ y  # [D_i, D_j]; a permutation does not change the sums of squares
    mismatch = np.square((source_spectrum[:, None] - target_spectrum) / SPECTRUM_NOISE) / 2
    rows, columns = linear_sum_assignment(
        np.abs(products) * CORRELATION / (1 - CORRELATION**2) - mismatch, maximize=True
    )
    weight = np.zeros_like(products)
    weight[rows, columns] = np.where(products[rows, columns] < 0, -1.0, 1.0)
    return weight


def orthogonal_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the orthogonal map with the least error on the pairs, [n, D_i] and [n, D_j] -> [D_i, D_j].

    A partial isometry, as that of `alignment.shared_subspace.find_shared`: n pairs determine at most n
    directions, and all others are dropped. Unlike `alignment.fit.fit_procrustes` it does not center them.
    """
    u, _, vt = _singular_directions(x, y)
    return u @ vt


def shrunk_orthogonal_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the orthogonal map, each pair of its singular directions shrunk by the uncertainty of its sign.

    On one axis it is `shrunk_signs`. [n, D_i] and [n, D_j] -> [D_i, D_j].
    """
    u, s, vt = _singular_directions(x, y)
    return (u * _shrink(s)) @ vt


def skewness_signs(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the signs of axes that match the skewness of two agents best, [D].

    All 2^D choices are tried. The two agents need no tick in common.

    Args:
        source: [D, D, D], E[x_a x_b x_c].
        target: [D, D, D], the same of the target's axes.
    """
    choices = np.array(list(product((1.0, -1.0), repeat=len(source))))
    score = np.einsum("abc,ra,rb,rc->r", source * target, choices, choices, choices, optimize=True)
    return choices[score.argmax()]


def _shrink(products: np.ndarray) -> np.ndarray:
    """Return the posterior mean of signed correlations, given the summed products of their pairs."""
    return CORRELATION * np.tanh(CORRELATION / (1 - CORRELATION**2) * products)


def _singular_directions(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the singular value decomposition of x^T y, without values that rounding alone leaves."""
    u, s, vt = np.linalg.svd(x.T @ y, full_matrices=False)
    determined = s > ROUNDING**0.5 * np.linalg.norm(x) * np.linalg.norm(y)
    return u[:, determined], s[determined], vt[determined]


def _products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the summed products of the axes of equal rank, [min(D_i, D_j)]."""
    common = min(x.shape[1], y.shape[1])
    return (x[:, :common] * y[:, :common]).sum(0)


def _diagonal(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a map [D_i, D_j] with these values on the diagonal."""
    weight = np.zeros((x.shape[1], y.shape[1]))
    np.fill_diagonal(weight, values)
    return weight

"""Coupled linear dynamics whose matrix is far from normal."""

import math
from functools import lru_cache

import numpy as np

from env.dynamics.contract import BLOCK, CORRELATION_CUTOFF, Dynamics, Motion, gather
from env.dynamics.noise import NOISE_CUTOFF, first_below, read_noise
from env.dynamics.random_numbers import normals

MAX_AUTOCORRELATION = 0.999  # beyond it one block of ticks takes seconds; a scene checks it


class Coupled(Dynamics):
    """``x' = A x + B a`` with white noise a ~ N(0, I), stationary from the first tick on.

    A = g Q T Q^T. T is lower triangular: in the basis Q each direction drives those after it. With the poles
    p_i = autocorrelation_i / g it is the state matrix of a chain of first-order all-pass filters, whose
    states are orthonormal when white noise drives the first filter (Takenaka 1925, Malmquist 1926):

        T_ii = p_i,   T_ij = r_i r_j prod_{j < k < i} (-p_k) for j < i,
        b_i = r_i prod_{k < i} (-p_k),   r_i = sqrt(1 - p_i^2),   T T^T + b b^T = I

    Hence the eigenvalues of A are the autocorrelations that are set; A is not normal, and where two of them
    are equal not even diagonalizable. Since A A^T + B B^T = I the factors stay uncorrelated standard normal
    variables at every tick, and their correlation with those k ticks earlier is A^k. Q is a random orthogonal
    matrix that follows from the seed; g = r + coupling (1 - r) with r the largest autocorrelation. All
    canonical correlations from tick to tick are g but one, which is the smallest.

    B is the symmetric root of I - A A^T = (1 - g^2) I + g^2 q q^T with q = Q b, so that action i moves
    coordinate i most.
    """

    def __init__(self, motion: Motion) -> None:
        """Compute A, and alpha, beta and q of B = alpha I + beta q q^T."""
        super().__init__(motion)
        slowest = max(motion.autocorrelations)
        gain = slowest + motion.coupling * (1 - slowest)
        triangular, drive = _all_pass_chain([rho / gain if gain else 0.0 for rho in motion.autocorrelations])
        rotation = _random_rotation(motion.seed, motion.dim)
        self._triangular = gain * triangular
        self.matrix = multiply(multiply(rotation, self._triangular), rotation.T)  # A, [F, F]
        self._q = multiply(rotation, drive[:, None])[:, 0]
        self._alpha = math.sqrt(1 - gain**2)
        self._length = 1 - math.prod(pole**2 for pole in triangular.diagonal().tolist())  # q^T q
        self._beta = gain**2 / (math.sqrt(self._alpha**2 + gain**2 * self._length) + self._alpha)
        self._history = 2 ** math.ceil(math.log2(max(1, first_below(self._size, NOISE_CUTOFF))))

    @property
    def decorrelation_ticks(self) -> int:
        """Ticks after which every correlation with the past is below 0.001, whatever the seed."""
        return first_below(self._size, CORRELATION_CUTOFF) if self._triangular.any() else 0

    def factors(self, ticks: np.ndarray) -> np.ndarray:
        """Return the factors at any ticks, [T] -> [T, F]."""
        return gather(ticks, self.motion.dim, self._block)

    def actions(self, now: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Return a, white noise of unit variance, [T, F]: B^-1 (x' - A x)."""
        pushes = later - multiply(now, self.matrix.T)
        share = self._beta / (self._alpha + self._beta * self._length)  # Sherman and Morrison 1950
        along = multiply(pushes, self._q[:, None])
        return (pushes - share * along * self._q) / self._alpha

    def _size(self, power: int) -> float:
        """Return the Frobenius norm of A^power, which no rotation changes."""
        return float(np.linalg.norm(np.linalg.matrix_power(self._triangular, power)))

    def _block(self, block: int) -> np.ndarray:
        """Return x_t = sum_j A^j B a_{t-j} of a block, [BLOCK, F], older noise left out.

        The state before the block is summed by halving: pairs of pushes, then pairs of pairs with A^2, and
        so on. The states in the block follow by doubling, as sums over the last 1, 2, 4, ... ticks.
        """
        noise = (self.motion.seed, self.motion.dim)
        pushes = self._push(read_noise(lambda b: _noise(*noise, b), block, self._history))
        power, before = self.matrix, pushes[:, : self._history]
        while before.shape[1] > 1:
            before = before[:, 1::2] + multiply(power, before[:, ::2])
            power = multiply(power, power)
        values = pushes[:, self._history :].copy()
        values[:, :1] += multiply(self.matrix, before)
        power, delay = self.matrix, 1
        while delay < BLOCK:
            values[:, delay:] += multiply(power, values[:, :-delay])
            power, delay = multiply(power, power), 2 * delay
        return np.ascontiguousarray(values.T)

    def _push(self, noise: np.ndarray) -> np.ndarray:
        """Return B a, [F, T] -> [F, T]."""
        return self._alpha * noise + self._beta * self._q[:, None] * multiply(self._q[None], noise)


def multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the matrix product [F, K] @ [K, N], summed in one order on every machine, unlike BLAS."""
    total = left[:, :1] * right[:1]
    for k in range(1, left.shape[1]):
        total = total + left[:, k : k + 1] * right[k : k + 1]
    return total


def _all_pass_chain(poles: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return T [F, F] and b [F] of a chain of all-pass filters with these poles, T T^T + b b^T = I."""
    dim = len(poles)
    roots = [math.sqrt(1 - pole**2) for pole in poles]
    matrix, drive = np.diag(poles), np.zeros(dim)
    for row in range(dim):
        passed = roots[row]  # times the all-pass filters between the source and this row
        for column in range(row - 1, -1, -1):
            matrix[row, column] = passed * roots[column]
            passed *= -poles[column]
        drive[row] = passed
    return matrix, drive


def _random_rotation(seed: int, dim: int) -> np.ndarray:
    """Return a random orthogonal matrix, [F, F]: a product of Householder reflections (Stewart 1980)."""
    draws = normals(f"coupled rotation:{seed}", 0, dim, dim)
    result = np.eye(dim)
    for k in range(dim):
        axis = np.where(np.arange(dim) >= k, draws[k], 0.0)
        square = multiply(axis[None], axis[:, None])[0, 0]
        result = result - (2 / square) * multiply(multiply(result, axis[:, None]), axis[None])
    return result


@lru_cache(maxsize=32)
def _noise(seed: int, dim: int, block: int) -> np.ndarray:
    """Return the standard normal noise of one block, [F, BLOCK]."""
    return normals(f"coupled:{seed}", block, dim, BLOCK)

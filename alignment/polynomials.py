r"""Polynomial functions of core coordinates, the most predictable ones first.

For independent coordinates of autocorrelations rho_i, the monomial ``prod x_i^{a_i}`` has, up to lower
degrees, the autocorrelation ``prod rho_i^{a_i}``: slow coordinates have many functions that are more
predictable than the next factor (Sprekeler, Zito and Wiskott 2014, Extended slow feature analysis, JMLR 15).
What those functions explain can be removed from a latent, so that what is left to predict are other factors.
"""

import heapq
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from alignment.shapes_repr import shapes_repr

SMALLEST: Final = 1e-4  # variance of a direction, as a share of the largest, below which it is dropped
MAX_DEGREE: Final = 6  # of a monomial: a regression on rows hardly tells higher ones from noise


@dataclass(frozen=True, eq=False)
class PolynomialFeatures:
    """White polynomials of core coordinates.

    Attributes:
        exponents: int64 [M, C], one monomial a row.
        bounds: [2, C], least and largest coordinates of the rows; others are clamped, as powers explode.
        mean: [M], mean of each monomial.
        transform: [M, R], from centered monomials to white features; R <= M.
    """

    exponents: Tensor
    bounds: Tensor
    mean: Tensor
    transform: Tensor

    __repr__ = shapes_repr

    def __call__(self, core: Tensor) -> Tensor:
        """Return the features of core coordinates, [..., C] -> [..., R]."""
        low, high = self.bounds.to(core.dtype)
        values = monomials(core.clamp(low, high), self.exponents)
        return (values - self.mean.to(core.dtype)) @ self.transform.to(core.dtype)


def fit_polynomials(core: Tensor, rates: Tensor, columns: int) -> PolynomialFeatures:
    """Return the white features of the most predictable monomials of core coordinates.

    Args:
        core: [K, C], rows to whiten on.
        rates: [C], autocorrelations of the coordinates, in (0, 1).
        columns: Most monomials; at least C, so that each coordinate is among them.
    """
    exponents = most_predictable_exponents(rates, columns).to(core.device)
    values = monomials(core.double(), exponents)
    mean = values.mean(0)
    centered = values - mean
    scale = centered.square().mean(0).sqrt()
    scale = torch.where(scale > 0, 1 / scale, 0.0)
    white = centered * scale
    variance, axes = torch.linalg.eigh(white.T @ white / len(white))
    kept = variance > SMALLEST * variance[-1]
    transform = scale[:, None] * axes[:, kept] * variance[kept].rsqrt()
    bounds = torch.stack([core.min(0).values, core.max(0).values]).double()
    return PolynomialFeatures(exponents, bounds, mean, transform)


def monomials(core: Tensor, exponents: Tensor) -> Tensor:
    """Return ``prod_i x_i^{a_i}`` for each row of exponents, [..., C] -> [..., M]."""
    return torch.stack([_monomial(core, row) for row in exponents.tolist()], -1)


def _monomial(core: Tensor, powers: list[int]) -> Tensor:
    value = torch.ones_like(core[..., 0])
    for index, power in enumerate(powers):
        for _ in range(power):
            value = value * core[..., index]
    return value


def most_predictable_exponents(rates: Tensor, columns: int) -> Tensor:
    """Return the exponents of the monomials of largest ``prod rho_i^{a_i}``, int64 [M, C].

    All coordinates themselves come first, then products and powers up to degree 6 in descending order.

    Args:
        rates: [C], in (0, 1); values outside are clamped.
        columns: Most of them; at least C.
    """
    logs = (-rates.double().clamp(1e-3, 1 - 1e-3).log()).tolist()
    count = len(logs)
    units = [tuple(int(i == j) for j in range(count)) for i in range(count)]
    # each monomial is reached once: by raising its last coordinate or one after it
    queue = [(logs[i] + logs[j], *_raised(units[i], j)) for i in range(count) for j in range(i, count)]
    heapq.heapify(queue)
    found = units[:columns]
    while queue and len(found) < columns:
        cost, powers, last = heapq.heappop(queue)
        found.append(powers)
        for j in range(last, count) if sum(powers) < MAX_DEGREE else ():
            heapq.heappush(queue, (cost + logs[j], *_raised(powers, j)))
    return torch.tensor(found, dtype=torch.int64).reshape(-1, count)


def _raised(powers: tuple[int, ...], index: int) -> tuple[tuple[int, ...], int]:
    """Return exponents with one of them raised by one, and its index."""
    return tuple(power + (i == index) for i, power in enumerate(powers)), index

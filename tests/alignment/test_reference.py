"""Ours beside an independent plain rewrite in numpy and scipy."""

import networkx
import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import torch

from alignment.core import autocorrelations, find_core
from alignment.edge import Edge
from alignment.fit import fit_procrustes, fit_ridge
from alignment.graph import TranslationGraph
from alignment.linear_map import LinearMap
from alignment.score import canonical_correlations, linear_cka, mutual_knn, r2, retrieval_at, spectrum


@pytest.fixture(params=[(60, 5, 5), (60, 4, 7), (60, 7, 4)], ids=str)
def pairs(request):
    rng = np.random.default_rng(0)
    count, source_dim, target_dim = request.param
    x = rng.normal(size=(count, source_dim)) + 2.0
    y = x @ rng.normal(size=(source_dim, target_dim)) + rng.normal(size=(count, target_dim))
    return x, y


def tensors(*arrays):
    return tuple(torch.from_numpy(array) for array in arrays)


def centered(a):
    return a - np.mean(a, axis=0)


def test_r2_equals_its_definition(pairs):
    _, y = pairs
    guess = y + np.random.default_rng(1).normal(size=y.shape)

    residual = sum((y[k, d] - guess[k, d]) ** 2 for k in range(len(y)) for d in range(y.shape[1]))
    total = np.var(y, axis=0).sum() * len(y)

    assert r2(*tensors(guess, y)) == pytest.approx(1 - residual / total)


def test_ridge_is_least_squares_on_augmented_rows(pairs):
    x, y = pairs
    strength = 3.0 * np.linalg.eigvalsh(centered(x).T @ centered(x)).mean() / len(x)
    rows = np.vstack([centered(x), np.sqrt(strength) * np.eye(x.shape[1])])
    answers = np.vstack([centered(y), np.zeros((x.shape[1], y.shape[1]))])

    found = fit_ridge(*tensors(x, y), ridge=3.0)

    np.testing.assert_allclose(found.weight.numpy(), np.linalg.lstsq(rows, answers)[0])


def test_procrustes_equals_scipy_s(pairs):
    x, y = (array[:, :4] for array in pairs)  # scipy's is square

    expected, _ = scipy.linalg.orthogonal_procrustes(centered(x), centered(y))

    np.testing.assert_allclose(fit_procrustes(*tensors(x, y)).weight.numpy(), expected)


def test_canonical_correlations_are_cosines_of_principal_angles(pairs):
    x, y = pairs
    angles = scipy.linalg.subspace_angles(centered(x), centered(y))

    np.testing.assert_allclose(canonical_correlations(*tensors(x, y)), np.sort(np.cos(angles))[::-1])


def test_canonical_correlations_solve_the_generalized_eigenproblem(pairs):
    x, y = map(centered, pairs)
    a = x.T @ y @ np.linalg.solve(y.T @ y, y.T @ x)
    squares = np.sort(scipy.linalg.eigh(a, x.T @ x, eigvals_only=True))[::-1]

    ours = canonical_correlations(*tensors(*pairs)).numpy()

    np.testing.assert_allclose(ours**2, squares[: len(ours)])


def test_the_spectrum_is_that_of_the_least_squares_map(pairs):
    x, y = pairs
    weight = np.linalg.lstsq(np.hstack([x, np.ones((len(x), 1))]), y)[0][:-1]

    np.testing.assert_allclose(spectrum(*tensors(x, y)), np.linalg.svd(weight, compute_uv=False))


def test_cka_is_the_correlation_of_centered_kernels(pairs):
    kernels = [(centered(a) @ centered(a).T).ravel() for a in pairs]
    expected = kernels[0] @ kernels[1] / (np.linalg.norm(kernels[0]) * np.linalg.norm(kernels[1]))

    assert linear_cka(*tensors(*pairs)) == pytest.approx(expected)


def test_nearest_neighbors_equal_those_of_a_kd_tree(pairs):
    near = [scipy.spatial.KDTree(a).query(a, 6)[1][:, 1:] for a in pairs]
    expected = np.mean([len(set(p) & set(q)) / 5 for p, q in zip(*near, strict=True)])

    assert mutual_knn(*tensors(*pairs), k=5) == pytest.approx(expected)


def test_retrieval_equals_that_of_a_kd_tree(pairs):
    _, y = pairs
    guess = y + np.random.default_rng(1).normal(size=y.shape)
    nearest = scipy.spatial.KDTree(y).query(guess, 3)[1]

    expected = np.mean([k in row for k, row in enumerate(nearest)])

    assert retrieval_at(*tensors(guess, y), k=3) == pytest.approx(expected)


def test_the_core_spectrum_solves_a_generalized_eigenproblem():
    rng = np.random.default_rng(0)
    z = np.cumsum(rng.normal(size=(300, 4)), axis=0) @ rng.normal(size=(4, 4)) + rng.normal(size=(300, 4))
    mean = (z[:-1].mean(0) + z[1:].mean(0)) / 2
    a, b = z[:-1] - mean, z[1:] - mean
    expected = scipy.linalg.eigh(a.T @ b + b.T @ a, a.T @ a + b.T @ b, eigvals_only=True)[::-1]

    basis = find_core(torch.from_numpy(z), ridge=0.0)

    np.testing.assert_allclose(basis.spectrum, expected, rtol=1e-6)
    np.testing.assert_allclose(autocorrelations(torch.from_numpy(z), basis), expected, rtol=1e-6)


def test_the_best_path_is_the_best_of_all_paths():
    rng = np.random.default_rng(0)
    names = "abcdef"
    edges, identity = [], LinearMap(torch.eye(2), torch.zeros(2))
    for one in names:
        for other in set(names) - {one}:
            quality = float(rng.uniform(0.2, 1.0))
            edges.append(Edge(one, other, "accepted", r2_shared=quality, map=identity))

    graph = TranslationGraph(edges=edges)
    all_paths = networkx.all_simple_paths(graph.to_networkx(), "a", "f")

    assert graph.quality(graph.best_path("a", "f")) == max(graph.quality(path) for path in all_paths)

"""Eight systems side by side against dense algebra, at sizes around the blocks of four."""

import numpy as np
import pytest

from nwidth.rb.batched import remainders, solve
from nwidth.rb.lanes import WIDTH, combine, factorise, remainder, substitute

SIZES = [1, 2, 3, 4, 5, 7, 8, 11, 20, 33]


def systems(n):
    """Eight positive definite matrices `(8, n, n)`, packed `(T, 8)`, and right-hand sides `(n, 8)`."""
    rng = np.random.default_rng(n)
    roots = rng.normal(size=(WIDTH, n, n))
    dense = roots @ roots.swapaxes(1, 2) / n + np.eye(n)
    rows, columns = np.tril_indices(n)
    return dense, np.ascontiguousarray(dense[:, rows, columns].T), rng.normal(size=(n, WIDTH))


@pytest.mark.parametrize("n", SIZES)
def test_the_factor_is_choleskys_with_reciprocal_pivots(n):
    dense, work, _ = systems(n)
    factorise(n, work)
    lower = np.linalg.cholesky(dense)
    diagonal = np.arange(n)
    lower[:, diagonal, diagonal] = 1 / lower[:, diagonal, diagonal]
    np.testing.assert_allclose(work.T, lower[:, *np.tril_indices(n)], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("n", SIZES)
def test_solutions_and_remainders_are_those_of_dense_matrices(n):
    dense, packed, right = systems(n)
    work, x = packed.copy(), right.copy()
    factorise(n, work)
    substitute(work, x)
    np.testing.assert_allclose(x.T, np.linalg.solve(dense, right.T[..., None])[..., 0], rtol=1e-12, atol=1e-13)
    rest, other = right.copy(), np.random.default_rng(1).normal(size=(n, WIDTH))
    remainder(packed, other, rest)
    np.testing.assert_allclose(rest.T, right.T - np.einsum("lij,lj->li", dense, other.T), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n", [1, 6, 8])
def test_a_matrix_that_is_not_definite_spoils_its_own_lane_only(n):
    dense, work, right = systems(n)
    work[-1, 2] = -1.0  # the last diagonal entry
    x = right.copy()
    factorise(n, work)
    substitute(work, x)
    assert np.isnan(x[:, 2]).all()
    others = np.arange(WIDTH) != 2
    found = np.linalg.solve(dense, right.T[..., None])[others, :, 0]
    np.testing.assert_allclose(x.T[others], found, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 30])
@pytest.mark.parametrize("terms", [0, 1, 5])
def test_combinations_are_products(rows, terms):
    rng = np.random.default_rng(0)
    table, theta, out = rng.normal(size=(rows, terms)), rng.normal(size=(terms, WIDTH)), np.full((rows, WIDTH), np.nan)
    combine(table, theta, out)
    np.testing.assert_allclose(out, table @ theta, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("batch", [0, 1, 7, 8, 9, 30])
def test_a_batch_of_any_size_is_solved_row_by_row(batch):
    n, terms, loads = 6, 3, 2
    rng = np.random.default_rng(batch)
    roots = rng.normal(size=(terms, n, n))
    matrices = roots @ roots.swapaxes(1, 2) + np.eye(n)
    packed = np.ascontiguousarray(matrices[:, *np.tril_indices(n)].T)
    theta, phi, f = rng.uniform(0.1, 1.0, (batch, terms)), rng.normal(size=(batch, loads)), rng.normal(size=(loads, n))
    whole = np.einsum("bq,qij->bij", theta, matrices)
    found = solve(theta, phi, packed, f)
    np.testing.assert_allclose(np.einsum("bij,bj->bi", whole, found), phi @ f, rtol=1e-10, atol=1e-11)
    c = rng.normal(size=(batch, n))
    rest = phi @ f - np.einsum("bij,bj->bi", whole, c)
    np.testing.assert_allclose(remainders(theta, phi, c, packed, f), rest, rtol=1e-11, atol=1e-11)

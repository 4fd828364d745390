"""Compensated residuals against exact rational arithmetic, where float64 has no digit left."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from nwidth.rb.compensated import remainder_squares
from nwidth.rb.rounding import gamma

EPS = np.finfo(float).eps


def squares(a, v, x, w, rows):
    return remainder_squares(a.data, a.indices, a.indptr, v, x.data, x.indices, x.indptr, w, np.array(rows))


def exact(a, v, x, w, i):
    """`(A v - X w)_i` and the sum of the absolute products."""
    products = [Fraction(value) * Fraction(v[j]) for value, j in zip(*row(a, i), strict=True)]
    products += [-Fraction(value) * Fraction(w[j]) for value, j in zip(*row(x, i), strict=True)]
    return sum(products), sum(map(abs, products))


def row(matrix, i):
    here = slice(matrix.indptr[i], matrix.indptr[i + 1])
    return matrix.data[here].tolist(), matrix.indices[here].tolist()


@pytest.mark.parametrize("spread", [1.0, 1e4, 1e8])
def test_a_residual_that_cancels_is_as_exact_as_twice_the_digits(spread):
    rng = np.random.default_rng(int(spread))
    a = sp.csr_array(sp.random_array((12, 12), density=0.6, rng=rng) * spread)
    v = rng.normal(size=(3, 12))
    w = np.array([a @ row for row in v])  # X = 1: only rounding is left
    x = sp.csr_array(sp.eye_array(12))
    for i in range(12):
        found = np.sqrt(squares(a, v, x, w, [i]))
        for k in range(3):
            rest, size = exact(a, v[k], x, w[k], i)
            assert abs(found[k] - abs(float(rest))) <= 2 * EPS * abs(rest) + gamma(14) ** 2 * float(size)
            assert found[k] <= 20 * EPS * float(size)


def test_rows_are_summed_over_the_chosen_ones_only():
    a = sp.csr_array(np.array([[3.0, 1.0], [0.0, 2.0]]))
    x = sp.csr_array(np.diag([1.0, 5.0]))
    v, w = np.array([[1.0, 2.0]]), np.array([[4.0, 0.5]])
    assert squares(a, v, x, w, [0, 1])[0] == (5.0 - 4.0) ** 2 + (4.0 - 2.5) ** 2
    assert squares(a, v, x, w, [1])[0] == 1.5**2
    assert squares(a, v, x, w, np.zeros(0, dtype=int))[0] == 0.0

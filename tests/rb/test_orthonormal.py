"""Block orthogonalisation in an inner product, near dependence included."""

import numpy as np
import pytest

from nwidth.rb.orthonormal import extension
from nwidth.testing.dense import DenseProblem

INNER = DenseProblem(size=40, seed=3).space.inner("energy")
RNG = np.random.default_rng(0)


def block(count):
    rows = RNG.normal(size=(count, 41))
    rows[:, 0] = 0.0
    return rows


def gram(v):
    return v @ INNER.apply(v).T


def test_grows_an_orthonormal_basis_that_spans_everything_it_was_given():
    basis, given = np.zeros((0, 41)), []
    for _ in range(5):
        rows = block(4)
        given.append(rows)
        fresh, new = extension(basis, rows, INNER)
        assert len(fresh) == 4 and (new > 0.1).all()
        basis = np.concatenate([basis, fresh])
    assert np.abs(gram(basis) - np.eye(20)).max() < 1e-13
    rows = np.concatenate(given)
    np.testing.assert_allclose(INNER.apply(rows) @ basis.T @ basis, rows, atol=1e-12)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_a_nearly_dependent_row_is_orthogonal_to_the_basis_all_the_same(size):
    basis, _ = extension(np.zeros((0, 41)), block(6), INNER)
    addition = block(1)
    row = RNG.normal(size=(1, 6)) @ basis + size * addition
    fresh, new = extension(basis, row, INNER)
    both = np.concatenate([basis, fresh])
    assert np.abs(gram(both) - np.eye(7)).max() < 1e-13
    part = addition - INNER.apply(addition) @ basis.T @ basis
    np.testing.assert_allclose(new, size * INNER.norm(part) / INNER.norm(row), rtol=1e-5)
    # up to the noise of the row itself, 1e-16 / size
    assert abs(abs((INNER.apply(part) @ fresh[0])[0]) / INNER.norm(part)[0] - 1) < 1e-14 / size


def test_two_rows_that_depend_on_each_other_give_one_vector():
    rows = block(3)
    rows[2] = rows[0] - 2 * rows[1]
    fresh, new = extension(np.zeros((0, 41)), rows, INNER)
    assert len(fresh) == 2
    assert sorted(new > 1e-10) == [False, True, True]


def test_rows_in_the_span_and_zero_rows_add_nothing():
    basis, _ = extension(np.zeros((0, 41)), block(5), INNER)
    fresh, new = extension(basis, np.concatenate([basis[:2] * 3, np.zeros((1, 41))]), INNER)
    assert fresh.shape == (0, 41)
    assert (new < 1e-13).all() and new[2] == 0


def test_each_row_has_its_own_limit():
    basis, _ = extension(np.zeros((0, 41)), block(5), INNER)
    rows = basis[:2] + 1e-6 * block(2)
    fresh, _ = extension(basis, rows, INNER, drop=np.array([1e-3, 1e-9]))
    assert len(fresh) == 1

"""Block orthogonalisation in an inner product, near dependence included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwidth.core.errors import InputError
from nwidth.rb.orthonormal import extend, extension, project
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


@given(
    held=st.integers(0, 20),
    rows=st.integers(1, 14),
    rank=st.integers(1, 14),
    grades=st.integers(0, 14),
    scale=st.sampled_from([1e-200, 1e-8, 1.0, 1e8]),
    seed=st.integers(0, 10_000),
)
def test_any_block_extends_a_basis_to_one_that_is_orthonormal_and_spans_it(held, rows, rank, grades, scale, seed):
    """Rows of a given rank, part of them in the span of the basis, with new parts graded down to 1e-grades."""
    rng = np.random.default_rng(seed)
    free = np.arange(41) > 0
    basis, _ = extension(np.zeros((0, 41)), rng.normal(size=(held, 41)) * free, INNER)
    parts = rng.normal(size=(min(rank, rows), 41)) * free
    mixed = rng.normal(size=(rows, len(parts))) @ parts * np.logspace(0, -grades, rows)[:, None]
    rows_given = scale * (mixed + (rng.normal(size=(rows, held)) @ basis if held else 0.0))
    drop = 1e-11
    fresh, new = extension(basis, rows_given, INNER, drop)
    both = np.concatenate([basis, fresh])
    assert len(fresh) <= min(len(parts), 40 - held)
    assert np.abs(gram(both) - np.eye(len(both))).max(initial=0.0) < 1e-12
    assert (new >= 0).all() and (new <= 1 + 1e-12).all()
    rest = rows_given - INNER.apply(rows_given) @ both.T @ both
    # a row may be dropped by as much as the limit leaves of it, seen through the rows that were kept
    assert (INNER.norm(rest) <= 100 * rows * drop * INNER.norm(rows_given)).all()


def test_coordinates_are_the_inner_products_with_the_extended_basis():
    basis, _ = extension(np.zeros((0, 41)), block(6), INNER)
    rows = 3.0 * block(4)
    images = INNER.apply(rows)
    found = extend(basis, rows.copy(), images.copy(), INNER)
    np.testing.assert_allclose(found.coordinates, images @ np.concatenate([basis, found.fresh]).T, atol=1e-12)


def test_a_block_that_cannot_be_changed_in_place_is_refused():
    basis, _ = extension(np.zeros((0, 41)), block(6), INNER)
    with pytest.raises(InputError, match="C order"):
        project(basis, np.asfortranarray(block(3)), block(3))

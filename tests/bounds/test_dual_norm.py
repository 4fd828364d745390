"""The dual norm from a Riesz map of any quality, against dense oracles and sizes of numbers meant to break it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwidth.bounds.dual_norm import dual_norm_upper, euclidean, represented
from nwidth.spaces.grid import Grid
from nwidth.testing.dense import DenseInner

LONG = np.longdouble


def spd(size: int, seed: int, condition: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(size, size)))[0]
    matrix = (vectors * np.geomspace(1.0, condition, size)) @ vectors.T
    return (matrix + matrix.T) / 2


def true_norm(matrix: np.ndarray, r: np.ndarray) -> float:
    """`√(rᵀ X⁻¹ r)` in extended precision."""
    wide, z = matrix.astype(LONG), np.zeros(len(r), LONG)
    for _ in range(12):
        z = z + np.linalg.solve(matrix, np.asarray(r - wide @ z, dtype=float)).astype(LONG)
    return float(np.sqrt(r.astype(LONG) @ z))


class Sloppy(DenseInner):
    """A Riesz map that misses a part of the answer."""

    part = 0.0

    def riesz_roughly(self, r):
        rng = np.random.default_rng(0)
        return self.riesz(r) * (1 + self.part * rng.normal(size=r.shape))


@settings(max_examples=80, deadline=None)
@given(
    size=st.integers(1, 60),
    seed=st.integers(0, 10_000),
    condition=st.floats(1.0, 1e6),
    part=st.sampled_from([0.0, 1e-9, 1e-4, 0.3, 10.0]),
    exponent=st.integers(-140, 140),
)
def test_both_bounds_hold_for_any_riesz_map_and_numbers_of_any_size(size, seed, condition, part, exponent):
    matrix, free = spd(size, seed, condition), np.ones(size, bool)
    inner = Sloppy(matrix, free)
    inner.part = part
    r = np.random.default_rng(seed + 1).normal(size=size)
    size_of = true_norm(matrix, r) * 10.0**exponent
    z, found = represented(inner, r[None] * 10.0**exponent)
    assert found.lower[0] <= size_of * (1 + 1e-14) and size_of * (1 - 1e-14) <= found.upper[0] < np.inf
    if part <= 1e-4 and condition <= 1e3:
        assert found.upper[0] <= 1.001 * size_of and found.lower[0] >= 0.999 * size_of
    length = np.sqrt(z[0].astype(LONG) @ (matrix.astype(LONG) @ z[0].astype(LONG)))
    assert found.least[0] <= length * (1 + LONG(1e-17)) and length <= found.energy[0] * (1 + LONG(1e-17))


def test_what_a_riesz_map_misses_enters_squared():
    matrix = spd(40, 0, 100.0)
    inner, r = Sloppy(matrix, np.ones(40, bool)), np.random.default_rng(1).normal(size=(1, 40))
    excess = []
    for part in (1e-2, 1e-3):
        inner.part = part
        excess.append(dual_norm_upper(inner, r)[0] / true_norm(matrix, r[0]) - 1)
    assert 80 < excess[0] / excess[1] < 120
    assert excess[0] < 1e-2


@pytest.mark.parametrize("cells", [(2, 2), (3, 2), (7, 12), (40, 33), (4, 5, 3)])
def test_the_riesz_map_in_single_precision_is_as_good_as_the_exact_one(cells):
    grid = Grid(cells, (1.0, 2.0, 0.5)[: len(cells)])
    inner, rng = grid.inner("energy"), np.random.default_rng(0)
    for r in (rng.normal(size=(5, grid.size)), np.ones((2, grid.size)), 1e200 * np.eye(3, grid.size, grid.size // 2)):
        r = np.where(grid.free, r, 0.0)
        exact = inner.dual_norm(r / np.abs(r).max()) * np.abs(r).max()
        found = represented(inner, r)[1]
        np.testing.assert_allclose(found.upper, exact, rtol=1e-7)
        np.testing.assert_allclose(found.lower, exact, rtol=1e-7)
        assert inner.single is not None and not np.array_equal(inner.riesz(r), inner.riesz_roughly(r))


def test_a_zero_an_overflow_and_a_nan_are_answered_and_never_with_nan():
    inner = DenseInner(spd(4, 0, 10.0), np.ones(4, bool))
    r = np.array([[0.0] * 4, [1e308] * 4, [1e-300, 0, 0, 0], [np.nan, 1, 1, 1], [np.inf, 1, 1, 1]])
    with np.errstate(all="ignore"):
        found = represented(inner, r)[1]
    assert found.upper[0] == 0 and (found.upper[1] > 1e307) and found.upper[2] > 0
    assert np.isinf(found.upper[3:]).all() and (found.lower[3:] == 0).all()


def test_the_length_of_numbers_of_any_size():
    v = np.array([[3e-200, 4e-200], [3e200, 4e200], [3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(euclidean(v), [5e-200, 5e200, 5.0, 0.0], rtol=1e-14)
    assert (euclidean(v)[:3] >= [5e-200, 5e200, 5.0]).all()


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic", "robin"])
def test_the_rounding_of_a_product_is_at_most_what_the_product_says(boundary):
    grid = Grid((9, 7), (1.0, 3.0), boundary)
    inner = grid.inner("energy")
    v = np.random.default_rng(0).normal(size=(20, grid.size)) * np.where(grid.free, 1.0, 0.0)
    matrix = inner.apply(np.eye(grid.size)).T.astype(LONG)
    off = np.linalg.norm((inner.apply(v) - v.astype(LONG) @ matrix.T).astype(float), axis=1)
    said = inner.rounding(grid.size) * np.linalg.norm(v, axis=1)
    assert (off <= said).all() and (said <= 1e5 * np.maximum(off, 1e-17)).all()
    default = super(type(inner), inner).rounding(grid.size)
    assert 0.01 * default <= inner.rounding(grid.size) <= 10 * default

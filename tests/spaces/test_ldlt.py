"""The batched factorisation against dense solves: real and complex, indefinite, singular, any pattern and batch."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from nwidth.core.errors import InputError
from nwidth.spaces.factor import Pattern, minimum_degree
from nwidth.spaces.ldlt import BatchedLDLT
from nwidth.spaces.ldlt_kernels import aligned
from nwidth.spaces.ldlt_symbolic import analyse, lower_values

KINDS = [(float, "double"), (float, "single"), (complex, "double"), (complex, "single")]


def random_pattern(size, density, seed):
    """A symmetric pattern without order; some diagonal entries are missing."""
    rng = np.random.default_rng(seed)
    dense = rng.random((size, size)) < density
    dense |= dense.T
    np.fill_diagonal(dense, rng.random(size) < 0.9)
    return Pattern.of(sp.csr_array(dense.astype(float)))


def grid_pattern(n):
    line = sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(n, n))
    matrix = sp.csr_array(sp.kronsum(line, line))
    matrix.sort_indices()
    return Pattern.of(matrix)


def random_values(pattern, batch, dtype, seed, shift=0.0):
    """Symmetric values `(B, nnz)` of both signs; `shift` is added to the diagonal."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((batch, len(pattern.indices))).astype(dtype)
    if dtype is complex:
        values += 1j * rng.standard_normal(values.shape)
    values = (values + values[:, pattern.mirror]) / 2
    values[:, pattern.indices == pattern.rows] += shift
    return values


def dense_solutions(pattern, values, loads):
    matrices = np.stack([pattern.matrix(v).toarray() for v in values])
    return np.linalg.solve(matrices, loads[..., None])[..., 0], np.linalg.cond(matrices)


def check(pattern, batch, dtype, precision, seed):
    """Every sample that is said to be solved is; those of moderate condition are."""
    factor = BatchedLDLT(analyse(pattern), dtype, precision)
    values = random_values(pattern, batch, dtype, seed, shift=3.0 * (-1) ** seed)
    loads = np.random.default_rng(seed + 1).standard_normal((batch, pattern.size)).astype(dtype)
    found = factor.solve(values, loads, 1e-11)
    matrices = np.stack([pattern.matrix(v).toarray() for v in values])
    residual = np.linalg.norm(np.einsum("bij,bj->bi", matrices, found.x) - loads, axis=1)
    # what is reported is what is there
    relative = residual / np.linalg.norm(loads, axis=1)
    np.testing.assert_allclose(found.residual, relative, rtol=1e-3, atol=1e-13)
    done = (found.residual <= 1e-11) & ~found.doubtful
    inverse = np.linalg.inv(matrices[done])
    error = found.x[done] - np.einsum("bij,bj->bi", inverse, loads[done])
    allowed = 1e-10 * np.linalg.norm(inverse, ord=2, axis=(1, 2)) * np.linalg.norm(loads[done], axis=1)
    assert (np.linalg.norm(error, axis=1) <= allowed + 1e-12).all()
    return done


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
def test_solutions_agree_with_dense_ones_on_a_grid(dtype, precision):
    """Indefinite matrices, several panels wide; a batch that does not fill the lanes."""
    pattern = grid_pattern(13)
    factor = BatchedLDLT(analyse(pattern), dtype, precision)
    values = random_values(pattern, factor.lanes - 3, dtype, 0)
    values[:, pattern.indices == pattern.rows] += np.where(np.arange(169) % 3 == 0, -6.0, 6.0)
    loads = np.random.default_rng(1).standard_normal((len(values), 169)).astype(dtype)
    exact, condition = dense_solutions(pattern, values, loads)
    assert condition.max() < 1e3
    found = factor.solve(values, loads, 1e-13)
    np.testing.assert_allclose(found.x, exact, rtol=0, atol=1e-10 * np.abs(exact).max())
    assert found.residual.max() <= 1e-13 and not found.doubtful.any()
    assert (found.solves >= (2 if precision == "single" else 1)).all() and found.solves.max() <= 5


@given(
    size=st.integers(1, 60),
    density=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]),
    kind=st.sampled_from(KINDS),
    batch=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
def test_any_pattern_is_solved_or_reported(size, density, kind, batch, seed):
    check(random_pattern(size, density, seed), batch, *kind, seed)


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
def test_most_random_indefinite_matrices_need_no_pivoting(dtype, precision):
    done = np.concatenate([check(random_pattern(50, 0.08, seed), 8, dtype, precision, seed) for seed in range(10)])
    assert done.mean() > (0.95 if precision == "double" else 0.6)


def test_wide_panels_are_split_and_padded():
    """A full matrix is one supernode of many panels, with a last one that does not fill its tiles."""
    pattern = Pattern.of(sp.csr_array(np.ones((75, 75))))
    analysis = analyse(pattern)
    assert len(analysis.panels) == 3 and analysis.widest <= 32 and analysis.entries == 75 * 76 // 2
    assert check(pattern, 3, float, "double", 0).all()


@pytest.mark.parametrize("batch", [1, 2, 7, 8])
def test_a_sample_is_the_same_to_the_last_bit_in_any_batch(batch):
    pattern = grid_pattern(9)
    factor = BatchedLDLT(analyse(pattern))
    values = random_values(pattern, 8, float, 0, shift=-5.0)
    loads = np.random.default_rng(1).standard_normal((8, 81))
    whole = factor.solve(values, loads).x
    order = np.random.default_rng(batch).permutation(8)[:batch]
    np.testing.assert_array_equal(factor.solve(values[order], loads[order]).x, whole[order])


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("consistent", [True, False])
def test_singular_matrices_are_reported_and_their_neighbours_solved(precision, consistent):
    """A shifted Laplacian at one of its eigenvalues, with a load that it may even reach."""
    n = 15
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    matrix = sp.csr_array(sp.kronsum(line, line))
    matrix.sort_indices()
    pattern = Pattern.of(matrix)
    values = np.tile(matrix.data, (6, 1))
    eigenvalue = 4 * np.sin(2 * np.pi / (2 * (n + 1))) ** 2 + 4 * np.sin(3 * np.pi / (2 * (n + 1))) ** 2
    shifts = np.array([0.3, eigenvalue, 0.5, 2 * eigenvalue, 0.9, eigenvalue])
    values[:, pattern.indices == pattern.rows] -= shifts[:, None]
    x = np.random.default_rng(0).standard_normal((6, n * n))
    loads = np.stack([pattern.matrix(v) @ u for v, u in zip(values, x, strict=True)]) if consistent else x
    factor = BatchedLDLT(analyse(pattern), float, precision)
    found = factor.solve(values, loads, 1e-9)
    suspected = found.doubtful | (found.residual > 1e-9)
    assert suspected[[1, 5]].all() and found.doubtful[[1, 5]].all()
    assert not suspected[[0, 2, 4]].any()
    if consistent:
        np.testing.assert_allclose(found.x[[0, 2, 4]], x[[0, 2, 4]], atol=1e-6)


def test_a_zero_load_has_the_solution_zero():
    pattern = grid_pattern(4)
    factor = BatchedLDLT(analyse(pattern))
    values = random_values(pattern, 2, float, 0, shift=8.0)
    found = factor.solve(values, np.stack([np.zeros(16), np.ones(16)]))
    assert (found.x[0] == 0).all() and (found.x[1] != 0).any()
    assert found.residual[0] == 0 and found.solves.tolist() == [0, 1]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_single_precision_is_not_bound_by_its_range(scale):
    pattern = grid_pattern(6)
    factor = BatchedLDLT(analyse(pattern), float, "single")
    values = random_values(pattern, 3, float, 0, shift=8.0)
    loads = np.random.default_rng(1).standard_normal((3, 36))
    exact, _ = dense_solutions(pattern, values, loads)
    found = factor.solve(values * scale, loads * scale**2, 1e-12)
    np.testing.assert_allclose(found.x / scale, exact, atol=1e-11)


def test_new_values_replace_the_old_ones():
    pattern = grid_pattern(8)
    factor = BatchedLDLT(analyse(pattern))
    loads = np.random.default_rng(1).standard_normal((2, 64))
    for seed in range(3):
        values = random_values(pattern, 2, float, seed, shift=9.0)
        exact, _ = dense_solutions(pattern, values, loads)
        np.testing.assert_allclose(factor.solve(values, loads).x, exact, atol=1e-11)


def test_the_analysis_stores_little_more_than_the_factor():
    """On a grid, minimum degree keeps the factor near n log n; the tables hold the matrix itself."""
    pattern = grid_pattern(31)
    analysis = analyse(pattern)
    n = pattern.size
    assert np.array_equal(np.sort(analysis.order), np.arange(n))
    assert analysis.entries < 3.0 * n * np.log2(n)
    assert analysis.storage < 1.4 * analysis.entries
    values = random_values(pattern, 1, float, 0)[0]
    lower = lower_values(analysis, values).toarray()
    dense = pattern.matrix(values).toarray()[np.ix_(analysis.order, analysis.order)]
    np.testing.assert_array_equal(lower, np.tril(dense))


def test_a_given_order_is_used():
    pattern = grid_pattern(7)
    worse = analyse(pattern, np.random.default_rng(0).permutation(49))
    assert worse.entries > analyse(pattern).entries
    assert analyse(pattern, minimum_degree(pattern)).entries == analyse(pattern).entries
    factor = BatchedLDLT(worse)
    values, loads = random_values(pattern, 2, float, 0, shift=9.0), np.ones((2, 49))
    np.testing.assert_allclose(factor.solve(values, loads).x, dense_solutions(pattern, values, loads)[0], atol=1e-11)


def test_what_cannot_be_used_is_refused():
    lower = Pattern.of(sp.csr_array(np.tril(np.ones((3, 3)))))
    with pytest.raises(InputError, match="the pattern is not symmetric"):
        analyse(lower)
    analysis = analyse(grid_pattern(3))
    with pytest.raises(InputError, match="not a permutation of the 9 unknowns"):
        analyse(grid_pattern(3), np.zeros(9, dtype=int))
    with pytest.raises(InputError, match="choose one of single, double"):
        BatchedLDLT(analysis, precision="half")
    factor = BatchedLDLT(analysis)
    with pytest.raises(InputError, match="expected 1 to 8 rows of 33 entries"):
        factor.solve(np.ones((9, 33)), np.ones((9, 9)))
    with pytest.raises(InputError, match=r"expected \(2, 9\)"):
        factor.solve(np.ones((2, 33)), np.ones((3, 9)))
    for way in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="prepare it where it is used"):
            way(factor)


def test_vectors_do_not_straddle_cache_lines():
    for count in range(1, 9):
        assert aligned((count, 3), np.float32).ctypes.data % 64 == 0

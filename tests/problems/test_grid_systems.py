"""Systems on a grid: products, energy, magnitude and the sparse matrix against dense matrices written with loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwidth.core.errors import InputError
from nwidth.problems.grid_range import energy_range
from nwidth.problems.grid_stencil_systems import GridPattern
from nwidth.problems.grid_systems import GridSystems, check_coefficient, dirichlet_stencils
from nwidth.problems.grid_terms import GridTerms
from nwidth.spaces.grid import Grid
from nwidth.testing.dense_grid import dense_diffusion, dense_stencils

GRIDS = [Grid((7,), 2.0), Grid((2,)), Grid((6, 5), (1.0, 3.0)), Grid((2, 7)), Grid((5, 4, 3), (1.0, 0.3, 2.0))]
RULES = ["arithmetic", "harmonic"]


def example(grid, rule, batch=3, seed=0, contrast=100.0):
    """Systems with everything different from sample to sample, and their dense matrices."""
    rng = np.random.default_rng(seed)
    a = contrast ** rng.uniform(0, 1, (batch, *grid.shape))
    f, g = rng.standard_normal((2, batch, *grid.shape))
    systems = GridSystems(grid, a, f, g, rule)
    return systems, [dense_diffusion(a_i, grid.lengths, rule) for a_i in a], a, f, g


def terms(a, grid, rule):
    return GridTerms(grid, a, np.zeros_like(a), None, None, {}, {}, rule, "central")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_products_against_dense_matrices(grid, rule):
    systems, matrices, _, f, g = example(grid, rule)
    free, volume = grid.free, np.prod(grid.spacings)
    v = np.random.default_rng(1).standard_normal((3, grid.size))
    junk = np.where(free, v, np.nan)
    for i, matrix in enumerate(matrices):
        w = np.where(free, v[i], 0.0)
        lift = np.where(free, 0.0, g[i].ravel())
        load = np.where(free, volume * f[i].ravel() - matrix @ lift, 0.0)
        atol = 1e-14 * abs(matrix).max()
        np.testing.assert_array_equal(systems.lift[i], lift)
        np.testing.assert_allclose(systems.load[i], load, atol=atol)
        np.testing.assert_allclose(systems.apply(junk)[i], np.where(free, matrix @ w, 0.0), atol=atol)
        np.testing.assert_allclose(systems.residual(v)[i], np.where(free, load - matrix @ w, 0.0), atol=2 * atol)
        expected = np.where(free, abs(matrix) @ abs(w), 0.0) + abs(load)
        np.testing.assert_allclose(systems.magnitude(junk)[i], expected, rtol=1e-13)
        assert systems.energy(v)[i] == pytest.approx(v[i] @ matrix @ v[i], rel=1e-13)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_sparse_matrix_against_the_dense_one(grid, rule):
    _, matrices, a, _, _ = example(grid, rule)
    whole, pattern = terms(a, grid, rule).stencils(whole=True), GridPattern.of(grid)
    sparse = [pattern.matrix(whole.take(slice(i, i + 1))) for i in range(3)]
    for built, matrix in zip(sparse, matrices, strict=True):
        np.testing.assert_allclose(built.toarray(), matrix, atol=1e-14 * abs(matrix).max())
        assert built.has_canonical_format
        np.testing.assert_array_equal(built.indices, sparse[0].indices)
        np.testing.assert_array_equal(built.indptr, sparse[0].indptr)
        assert built.nnz == np.count_nonzero(matrix)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_stencils_are_the_inner_block_of_the_dense_matrices(grid, rule):
    systems, matrices, a, f, g = example(grid, rule)
    shared = np.broadcast_to(f[:1], f.shape), np.broadcast_to(g[:1], g.shape)
    free = grid.free
    for data in ((f, g), shared, (f, 0 * g)):
        systems, stencils = GridSystems(grid, a, *data, rule), dirichlet_stencils(grid, a, *data, rule)
        assert stencils.symmetric and not stencils.constants.any() and len(stencils) == 3
        for i, built in enumerate(dense_stencils(stencils)):
            atol = 1e-14 * abs(matrices[i]).max()
            np.testing.assert_allclose(built, matrices[i][np.ix_(free, free)], rtol=0, atol=atol)
            np.testing.assert_allclose(stencils.load[i].ravel(), systems.load[i][free], rtol=0, atol=atol)


def test_a_constant_coefficient_gives_the_inner_product():
    for grid in GRIDS:
        one = np.ones((2, *grid.shape))
        systems = GridSystems(grid, 3.0 * one, one, 0 * one)
        w = np.random.default_rng(0).standard_normal((2, grid.size))
        expected = 3.0 * grid.inner("energy").apply(w)
        np.testing.assert_allclose(systems.apply(w), expected, rtol=0, atol=1e-14 * abs(expected).max())


def test_a_linear_function_is_in_the_kernel_of_the_whole_matrix():
    """With the boundary imposed the residual of a linear function vanishes: nothing is lost at the edge."""
    grid = Grid((6, 9), (1.0, 2.0))
    linear = (grid.points() @ [2.0, -1.0] + 0.5).reshape(1, *grid.shape)
    systems = GridSystems(grid, np.ones_like(linear), np.zeros_like(linear), linear)
    assert abs(systems.residual(grid.flatten(linear))).max() < 1e-13
    # its energy is the integral of |∇v|² = 5 over an area of 2, boundary edges included with their halves
    assert systems.energy(grid.flatten(linear))[0] == pytest.approx(10.0, rel=1e-13)


@given(
    cells=st.lists(st.integers(2, 7), min_size=1, max_size=2),
    contrast=st.floats(1.0, 1e6),
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 1000),
)
def test_face_coefficients_bound_the_spectrum(cells, contrast, rule, seed):
    """lower X <= A <= upper X, by the generalised eigenvalues of the free blocks."""
    grid = Grid(tuple(cells), tuple(np.random.default_rng(seed).uniform(0.1, 10, len(cells))))
    _, (matrix,), a, _, _ = example(grid, rule, 1, seed, contrast)
    low, high = energy_range(terms(a, grid, rule))
    block = np.ix_(grid.free, grid.free)
    x = dense_diffusion(np.ones(grid.shape), grid.lengths)[block]
    root = np.linalg.inv(np.linalg.cholesky(x))
    values = np.linalg.eigvalsh(root @ matrix[block] @ root.T)
    assert low[0] <= values[0] * (1 + 1e-10)
    assert high[0] >= values[-1] * (1 - 1e-10)
    assert a.min() * (1 - 1e-12) <= low[0] <= high[0] <= a.max() * (1 + 1e-12)


def test_face_range_leaves_out_the_edges_within_the_boundary():
    a = np.ones((1, 5, 5))
    a[0, 0, 0] = a[0, 0, 1] = 1e-3  # a corner, which no inner node touches, and a node that one does
    a[0, 4, 4] = 1e3
    assert energy_range(terms(a, Grid((4, 4)), "arithmetic")) == (pytest.approx([(1 + 1e-3) / 2]), pytest.approx([1.0]))


def test_take_is_the_batch_of_the_chosen_samples():
    systems, *_ = example(Grid((6, 5)), "arithmetic")
    w = np.random.default_rng(0).standard_normal((3, 42))
    for rows in (slice(1, 3), np.array([2, 0]), np.array([True, False, True])):
        part = systems.take(rows)
        np.testing.assert_array_equal(part.apply(w[rows]), systems.apply(w)[rows])
        np.testing.assert_array_equal(part.residual(w[rows]), systems.residual(w)[rows])
        np.testing.assert_array_equal(part.impose(w[rows]), systems.impose(w)[rows])
        np.testing.assert_array_equal(part.take(slice(0, 1)).energy(w[rows][:1]), systems.energy(w)[rows][:1])


def test_a_sample_does_not_depend_on_its_batch():
    systems, *_ = example(Grid((17, 23)), "harmonic", batch=40)
    w = np.random.default_rng(0).standard_normal((40, 18 * 24))
    np.testing.assert_array_equal(systems.take(slice(31, 32)).apply(w[31:32])[0], systems.apply(w)[31])


def test_an_impossible_coefficient_is_named_with_its_place():
    grid = Grid((4, 2), (1.0, 3.0))
    a = np.ones((3, 5, 3))
    a[1, 2, 1], a[2, 0, 0] = -1.3, np.nan
    with pytest.raises(InputError, match=r"a: sample 1 is -1.3 at node \(2, 1\), x = \(0.5, 1.5\).*2 values in 2 of 3"):
        check_coefficient(a, grid, "a")
    for bad in (0.0, np.inf, -0.0):
        a = np.ones((1, 5, 3))
        a[0, 4, 2] = bad
        with pytest.raises(InputError, match=r"sample 0 is .* at node \(4, 2\)"):
            check_coefficient(a, grid)
    with pytest.raises(InputError, match=r"no batch axis.*coefficient\[None\]"):
        check_coefficient(np.ones((5, 3)), grid)
    with pytest.raises(InputError, match="expected"):
        check_coefficient(np.ones((1, 4, 3)), grid)


def test_vectors_of_another_batch_are_refused():
    systems, *_ = example(Grid((6, 5)), "arithmetic")
    with pytest.raises(InputError, match="2 vectors for 3 systems"):
        systems.apply(np.ones((2, 42)))
    with pytest.raises(InputError, match="expected"):
        systems.apply(np.ones((3, 41)))

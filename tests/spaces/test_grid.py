"""Grids: the inner products against dense matrices written with loops, and interpolation."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwidth.core.errors import InputError
from nwidth.spaces import _sine
from nwidth.spaces.grid import Grid, interpolate
from nwidth.testing.dense_grid import dense_diffusion

GRIDS = [
    Grid((7,), 2.0),
    Grid((2,)),
    Grid((8, 5), (1.0, 3.0)),
    Grid((2, 9)),
    Grid((5, 4, 6), (1.0, 0.3, 2.0)),
    Grid((3, 2, 2)),
]


def interior(grid, rng, batch=3, junk=None):
    return np.where(grid.free, rng.standard_normal((batch, grid.size)), 0.0 if junk is None else junk)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_energy_product_against_a_dense_matrix(grid):
    matrix = dense_diffusion(np.ones(grid.shape), grid.lengths)
    inner, v = grid.inner("energy"), interior(grid, np.random.default_rng(0))
    expected = np.where(grid.free, v @ matrix, 0.0)
    np.testing.assert_allclose(inner.apply(v), expected, atol=1e-13 * abs(matrix).max())
    np.testing.assert_allclose(inner.norm(v) ** 2, np.einsum("bi,ij,bj->b", v, matrix, v), rtol=1e-13)
    free = matrix[np.ix_(grid.free, grid.free)]
    dual = np.zeros_like(v)
    dual[:, grid.free] = np.linalg.solve(free, v[:, grid.free].T).T
    np.testing.assert_allclose(inner.riesz(v), dual, rtol=0, atol=1e-13 * abs(dual).max())
    np.testing.assert_allclose(inner.dual_norm(v) ** 2, np.einsum("bi,bi->b", v, dual), rtol=1e-13)
    smallest = np.linalg.eigvalsh(free)[0]
    assert inner.lambda_min <= smallest * (1 + 1e-13)
    assert inner.lambda_min == pytest.approx(smallest, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.integers(2, 40), min_size=1, max_size=3).filter(lambda c: np.prod(c) < 20_000),
    stretch=st.lists(st.floats(0.05, 20.0), min_size=3, max_size=3),
    seed=st.integers(0, 1000),
)
def test_riesz_is_the_inverse_on_every_grid(cells, stretch, seed):
    grid = Grid(tuple(cells), tuple(stretch[: len(cells)]))
    inner, v = grid.inner("energy"), interior(grid, np.random.default_rng(seed), 2)
    for there_and_back in (inner.riesz(inner.apply(v)), inner.apply(inner.riesz(v))):
        np.testing.assert_allclose(there_and_back, v, rtol=0, atol=1e-12 * abs(v).max())


@pytest.mark.parametrize("cells", [(64, 64), (63, 65), (31,), (12, 10, 11)])
def test_riesz_after_apply_is_the_identity_to_rounding(cells):
    grid = Grid(cells)
    v = interior(grid, np.random.default_rng(1))
    inner = grid.inner("energy")
    np.testing.assert_allclose(inner.riesz(inner.apply(v)), v, rtol=0, atol=1e-13 * abs(v).max())


@pytest.mark.parametrize("cells", [(9, 12), (9, 13), (6, 5, 8)])
def test_products_and_ffts_give_the_same_map(cells, monkeypatch):
    grid = Grid(cells, 1.7)
    r = interior(grid, np.random.default_rng(2))
    by_products = grid.inner("energy").riesz(r)
    monkeypatch.setattr(_sine, "_MATRIX_LIMIT", 0)
    by_fft = grid.inner("energy").riesz(r)
    np.testing.assert_allclose(by_fft, by_products, rtol=0, atol=1e-14 * abs(by_products).max() * grid.size)
    assert not np.array_equal(by_fft, by_products)


@pytest.mark.parametrize("kind", ["energy", "mass"])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_boundary_is_ignored_on_input_and_zero_on_output(grid, kind):
    inner, rng = grid.inner(kind), np.random.default_rng(3)
    clean = interior(grid, rng)
    dirty = np.where(grid.free, clean, np.nan)
    for product in (inner.apply, inner.riesz):
        np.testing.assert_array_equal(product(dirty), product(clean))
        assert not product(dirty)[:, ~grid.free].any()


def test_large_batches_are_cut_into_pieces_without_a_trace():
    grid = Grid((33, 40))
    r = interior(grid, np.random.default_rng(4), batch=101)
    inner = grid.inner("energy")
    whole = inner.riesz(r)
    for i in (0, 50, 100):
        np.testing.assert_array_equal(whole[i], inner.riesz(r[i : i + 1])[0])
    assert inner.riesz(r[:0]).shape == (0, grid.size)


def test_mass_product_is_the_lumped_l2_form():
    grid = Grid((40, 30), (1.0, 2.0))
    x = grid.points()
    v = (np.sin(np.pi * x[:, 0]) * np.sin(np.pi * x[:, 1] / 2))[None]
    mass = grid.inner("mass")
    assert mass.norm(v)[0] ** 2 == pytest.approx(0.5, rel=1e-12)  # the trapezoidal rule is exact for it
    np.testing.assert_allclose(mass.riesz(mass.apply(v)), np.where(grid.free, v, 0.0), atol=1e-14)
    assert mass.lambda_min == pytest.approx(1 / 40 * 2 / 30)


@pytest.mark.parametrize(("dim", "sizes"), [(1, (8, 16, 32)), (2, (8, 16, 32)), (3, (4, 8, 16))])
def test_energy_norm_converges_to_the_dirichlet_integral(dim, sizes):
    """∫ |∇ Π sin(π x_d)|² = d π² / 2^d, with an error of second order."""
    exact = dim * np.pi**2 / 2**dim
    errors = []
    for n in sizes:
        grid = Grid((n,) * dim)
        v = np.prod(np.sin(np.pi * grid.points()), axis=1)[None]
        errors.append(abs(grid.inner("energy").norm(v)[0] ** 2 - exact) / exact)
    assert np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2.0, atol=0.06)
    assert errors[-1] < np.pi**2 / 12 / sizes[-1] ** 2 * 1.01


def test_nodes_shapes_and_masks():
    grid = Grid((4, 3), (1.0, 6.0))
    assert (grid.shape, grid.size, grid.dim, grid.spacings) == ((5, 4), 20, 2, (0.25, 2.0))
    assert grid.free.sum() == 3 * 2
    np.testing.assert_allclose(grid.points().reshape(5, 4, 2)[3, 2], [0.75, 4.0])
    fields = np.arange(40.0).reshape(2, 5, 4)
    np.testing.assert_array_equal(grid.unflatten(grid.flatten(fields)), fields)
    assert (~grid.free).reshape(5, 4)[0].all()


def test_interpolation_is_exact_for_linear_functions_and_copies_shared_nodes():
    source, target, odd = Grid((6, 4), (1, 2)), Grid((12, 8), (1, 2)), Grid((5, 7), (1, 2))
    linear = lambda g: (1 + g.points() @ [2.0, -3.0]).reshape(1, *g.shape)  # noqa: E731
    for grid in (target, odd, source):
        np.testing.assert_allclose(interpolate(linear(source), source, grid), linear(grid), atol=1e-14)
    noise = np.random.default_rng(0).standard_normal((2, *source.shape))
    fine = interpolate(noise, source, target)
    np.testing.assert_array_equal(fine[:, ::2, ::2], noise)
    np.testing.assert_allclose(fine[:, 1::2, ::2], (noise[:, :-1] + noise[:, 1:]) / 2)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_round_trip_through_json(grid):
    config, arrays, children = grid.to_parts()
    assert Grid.from_parts(json.loads(json.dumps(config)), arrays, children) == grid


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid((1, 4)), "at least 2 cells"),
        (lambda: Grid((4,) * 4), "1 to 3 directions"),
        (lambda: Grid((4, 4), (1.0, -1.0)), "positive length"),
        (lambda: Grid((4, 4), (1.0, 1.0, 1.0)), "positive length"),
        (lambda: Grid((4, 4), boundary="open"), "choose one of dirichlet, neumann"),
        (lambda: Grid((4, 4)).inner("h2"), "choose one of energy, mass"),
        (lambda: Grid((4, 4)).inner("energy").apply(np.ones(25)), "no batch axis"),
        (lambda: Grid((4, 4)).inner("energy").riesz(np.ones((2, 24))), "expected"),
        (lambda: interpolate(np.ones((1, 5, 5)), Grid((4, 4)), Grid((4, 4), 2.0)), "one domain"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()

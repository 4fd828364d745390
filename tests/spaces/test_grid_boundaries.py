"""Grids with every boundary type and both centrings: places, inner products against dense matrices, interpolation."""

import json
from itertools import product

import numpy as np
import pytest

from nwidth.bounds.residual import dual_norm_upper
from nwidth.core.errors import InputError
from nwidth.spaces.grid import Grid, interpolate
from nwidth.testing.dense_grid import dense_transport

ENDS = [
    "dirichlet",
    "neumann",
    "robin",
    "periodic",
    ("dirichlet", "neumann"),
    ("neumann", "robin"),
    ("robin", "dirichlet"),
]
GRIDS = [Grid((5,), 2.0, (ends,), centring) for ends, centring in product(ENDS, ("node", "cell"))]
GRIDS += [
    Grid((4, 5), (1.0, 3.0), (("dirichlet", "neumann"), "periodic"), "node"),
    Grid((4, 3), (1.0, 3.0), ("neumann", "periodic"), "cell"),
    Grid((3, 4), (1.0, 3.0), (("robin", "neumann"), ("neumann", "dirichlet")), "node"),
    Grid((4, 3), 1.0, "neumann", "node"),
    Grid((3, 4), 1.0, "dirichlet", "cell"),
    Grid((3, 4, 3), (1.0, 0.3, 2.0), (("neumann", "dirichlet"), "robin", "periodic"), "node"),
    Grid((3, 2, 4), (1.0, 0.3, 2.0), ("dirichlet", "neumann", "robin"), "cell"),
]


def dense_energy(grid):
    """X over all values from the oracle of transport: a = 1, and 1 / length at Robin ends."""
    kappa = {(s.axis, s.end): np.full(s.shape, 1 / grid.directions[s.axis].length) for s in grid.sides}
    return dense_transport(grid, np.ones(grid.shape), kappa=kappa)[0]


def draws(grid, batch=3, seed=0):
    """Random vectors on the free dofs; of mean zero where X does not see the mean."""
    v = np.where(grid.free, np.random.default_rng(seed).standard_normal((batch, grid.size)), 0.0)
    return v


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_energy_against_the_dense_matrix(grid):
    inner, matrix, free = grid.inner("energy"), dense_energy(grid), grid.free
    block = matrix[np.ix_(free, free)]
    np.testing.assert_allclose(block, block.T, atol=1e-14 * abs(block).max())
    v = draws(grid)
    dirty = np.where(free, v, np.nan)
    found = inner.apply(dirty)
    np.testing.assert_allclose(found[:, free], v[:, free] @ block, rtol=0, atol=1e-13 * abs(block).max())
    assert not found[:, ~free].any()
    values = np.linalg.eigvalsh(block)
    smallest = values[int(grid.floating)]
    assert 0 < inner.lambda_min <= smallest * (1 + 1e-12)
    assert inner.lambda_min > 0.1 * smallest
    assert (abs(values[0]) < 1e-12 * values[-1]) == grid.floating


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_riesz_is_the_inverse(grid):
    inner, free = grid.inner("energy"), grid.free
    v = draws(grid)
    if grid.floating:
        weights = grid.volumes().ravel()
        v -= (v @ weights / weights.sum())[:, None]
    again = inner.riesz(np.where(free, inner.apply(v), np.nan))
    np.testing.assert_allclose(again, v, rtol=0, atol=1e-12 * abs(v).max())
    r = inner.apply(v)
    np.testing.assert_allclose(inner.dual_norm(r), inner.norm(v), rtol=1e-11)


@pytest.mark.parametrize("grid", [g for g in GRIDS if g.floating], ids=str)
def test_loads_with_a_mean_are_refused_where_nothing_holds_the_level(grid):
    inner, v = grid.inner("energy"), draws(grid)
    r = inner.apply(v)
    added = 1e-3 * abs(r[1]).max() * grid.volumes().ravel() / grid.volumes().max()
    r[1] += added
    with pytest.raises(InputError, match=r"load 1 sums to .* subtract the mean"):
        inner.dual_norm(r)
    # the Riesz map drops the mean, and a bound through it keeps what was dropped: it cannot become small
    np.testing.assert_allclose(inner.riesz(r), inner.riesz(inner.apply(v)), atol=1e-12 * abs(inner.riesz(r)).max())
    kept = np.linalg.norm(added) / np.sqrt(inner.lambda_min)
    assert dual_norm_upper(inner, r)[1] > np.hypot(inner.norm(v)[1], 0.99 * kept)
    np.testing.assert_allclose(inner.norm(v + 5.0), inner.norm(v), rtol=1e-6)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_mass_sums_with_the_control_volumes(grid):
    mass, v = grid.inner("mass"), draws(grid)
    volumes = np.prod(np.meshgrid(*(np.diff(d.faces) for d in grid.directions), indexing="ij"), axis=0).ravel()
    assert volumes.sum() == pytest.approx(np.prod(grid.lengths))
    np.testing.assert_allclose(mass.apply(v), np.where(grid.free, volumes * v, 0.0), rtol=1e-13)
    np.testing.assert_allclose(mass.riesz(mass.apply(v)), v, rtol=1e-13)
    assert mass.lambda_min == pytest.approx(volumes[grid.free].min(), rel=1e-13)


@pytest.mark.parametrize("cells", [(16, 12), (5, 4, 6)])
def test_the_sine_path_is_the_same_product(cells):
    """Nodes with prescribed values have a faster way; the general one agrees with it."""
    grid = Grid(cells, 1.3)
    from_modes = type(Grid((4,), boundary="neumann").inner("energy"))(grid.directions)
    fast, v = grid.inner("energy"), draws(grid)
    np.testing.assert_allclose(from_modes.apply(v), fast.apply(v), rtol=0, atol=1e-13 * abs(fast.apply(v)).max())
    np.testing.assert_allclose(from_modes.riesz(v), fast.riesz(v), rtol=0, atol=1e-13 * abs(fast.riesz(v)).max())
    assert from_modes.lambda_min == pytest.approx(fast.lambda_min, rel=1e-10)


def test_places_of_values_faces_and_sides():
    node, cell = Grid((4, 4), 2.0, ("periodic", "neumann")), Grid((4, 4), 2.0, ("periodic", "neumann"), "cell")
    assert (node.shape, cell.shape) == ((4, 5), (4, 4))
    np.testing.assert_allclose(node.axes()[0], [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(node.axes()[1], [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(cell.axes()[0], [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(node.directions[0].faces, [-0.25, 0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(node.directions[1].faces, [0, 0.25, 0.75, 1.25, 1.75, 2])
    np.testing.assert_allclose(cell.directions[0].faces, [0, 0.5, 1, 1.5, 2])
    assert node.free.all() and cell.free.all()
    mixed = Grid((4, 4), 1.0, (("dirichlet", "neumann"), ("neumann", "dirichlet")))
    np.testing.assert_array_equal(mixed.free.reshape(5, 5), np.add.outer([1, 0, 0, 0, 0], [0, 0, 0, 0, 1]) == 0)
    low, high = node.sides
    assert (low.axis, low.end, high.end, low.word) == (1, 0, 1, "neumann")
    np.testing.assert_allclose(high.points(), [[0, 2], [0.5, 2], [1, 2], [1.5, 2]])
    field = node.points()[:, 1].reshape(1, *node.shape)
    assert (field[high.layer()] == 2).all() and (field[low.layer(1)] == 0.5).all()
    assert "high end of direction 1 (neumann)" in str(high)


def test_the_shortest_way_to_write_a_boundary_is_kept():
    assert Grid((4, 4), boundary=("neumann", ("neumann", "neumann"))).boundary == "neumann"
    assert Grid((4, 4), boundary=[["dirichlet", "neumann"], "periodic"]).boundary == (
        ("dirichlet", "neumann"),
        "periodic",
    )
    assert Grid((4, 4), boundary=("dirichlet", "dirichlet")) == Grid((4, 4))


@pytest.mark.parametrize("centring", ["node", "cell"])
@pytest.mark.parametrize("boundary", ["neumann", "periodic", ("periodic", ("robin", "dirichlet"))])
def test_interpolation_between_all_kinds(boundary, centring):
    source = Grid((24, 32), (1.0, 2.0), boundary, centring)
    wave = lambda g: (np.cos(2 * np.pi * g.points()[:, 0]) + np.sin(np.pi * g.points()[:, 1])).reshape(1, *g.shape)  # noqa: E731
    for target in (Grid((48, 64), (1, 2), boundary, "node"), Grid((17, 40), (1, 2), boundary, "cell"), source):
        error = abs(interpolate(wave(source), source, target) - wave(target)).max()
        assert error < 0.05 * (target != source) + 1e-14
    if boundary == "neumann":
        linear = lambda g: (1 + g.points() @ [2.0, -3.0]).reshape(1, *g.shape)  # noqa: E731
        for other in ("node", "cell"):
            target = Grid((5, 7), (1, 2), centring=other)
            np.testing.assert_allclose(interpolate(linear(source), source, target), linear(target), atol=1e-13)
    if centring == "node":
        fine = interpolate(wave(source), source, Grid((48, 64), (1, 2), boundary))
        np.testing.assert_array_equal(fine[:, ::2, ::2], wave(source))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_round_trip_through_json(grid):
    config, arrays, children = grid.to_parts()
    assert Grid.from_parts(json.loads(json.dumps(config)), arrays, children) == grid


def test_files_without_centring_still_load():
    assert Grid.from_parts({"cells": [4, 4], "lengths": [1.0, 1.0], "boundary": "dirichlet"}, {}, {}) == Grid((4, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid((4, 4), boundary=("neumann",)), "1 entries for 2 directions"),
        (lambda: Grid((4,), boundary=("dirichlet", "neumann")), "2 entries for 1 directions"),
        (lambda: Grid((4,), boundary=(("dirichlet", "neumann", "robin"),)), "a pair for its low and high end"),
        (lambda: Grid((4,), boundary=(("periodic", "neumann"),)), "periodic joins both ends"),
        (lambda: Grid((4, 2), boundary="periodic"), "at least 3"),
        (lambda: Grid((4, 4), centring="face"), "choose one of node, cell"),
        (lambda: Grid((4, 4), boundary=("neumann", "open")), "choose one of dirichlet, neumann, robin, periodic"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()

"""Integrals, fluxes and relaxations on boxes against references that share no code with them."""

import numpy as np
import pytest

from nwidth.bounds.equilibrated.box_flux import Middles, Scheme, control_volumes, global_flux, local_flux
from nwidth.bounds.equilibrated.boxes import Boxes, blend, energy, halved, majorant, outflow
from nwidth.bounds.equilibrated.relax import relaxed_field, relaxed_flux
from nwidth.spaces.grid import Grid
from nwidth.testing.equilibrated_references import on_halves

SHAPES = [(4,), (3, 4), (2, 2, 3)]


def boxes_of(rng, cells, between, batch=2):
    shape = (batch, *(n + int(between == "linear") for n in cells))
    lengths = tuple(0.5 + rng.random(len(cells)))
    return Boxes(lengths, rng.uniform(0.5, 4, shape), rng.standard_normal(shape), between)


def random_flux(rng, boxes, batch=2):
    return tuple(
        rng.standard_normal((batch, *(n + int(d == k) for d, n in enumerate(boxes.cells)))) for k in range(boxes.dim)
    )


def by_quadrature(v, flux, boxes, inverse, points=4):
    """`∫ inverse |σ + a ∇v|²` by a rule of high order on one cell after the other."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    dim, total = boxes.dim, 0.0
    for cell in np.ndindex(*boxes.cells):
        for rule in np.ndindex(*(points,) * dim):
            s, w = (nodes[list(rule)] + 1) / 2, np.prod(weights[list(rule)] / 2)
            corner = np.array(list(np.ndindex(*(2,) * dim)))
            hats = np.prod(np.where(corner, s, 1 - s), axis=1)

            def value(x, corner=corner, hats=hats, cell=cell):
                return sum(h * x[tuple(np.add(cell, c))] for h, c in zip(hats, corner, strict=True))

            a = boxes.a[0][cell] if boxes.between == "constant" else value(boxes.a[0])
            square = 0.0
            for k in range(dim):
                part = np.prod(np.delete(np.where(corner, s, 1 - s), k, axis=1), axis=1) * np.where(corner[:, k], 1, -1)
                slope = sum(p * v[0][tuple(np.add(cell, c))] for p, c in zip(part, corner, strict=True))
                up = tuple(np.add(cell, np.eye(dim, dtype=int)[k]))
                density = (1 - s[k]) * flux[k][0][cell] + s[k] * flux[k][0][up]
                square += (density + a * slope / boxes.spacings[k]) ** 2
            total += w * boxes.volume * inverse(a) * square
    return total


@pytest.mark.parametrize("cells", [(4,), (2, 3), (1, 2, 2)])
def test_integrals_are_exact(cells):
    rng = np.random.default_rng(0)
    for between in ("constant", "linear"):
        boxes = boxes_of(rng, cells, between)
        v, flux = rng.standard_normal((2, *(n + 1 for n in cells))), random_flux(rng, boxes)
        true = np.sqrt(by_quadrature(v, flux, boxes, lambda a: 1 / a))
        found = majorant(v, flux, boxes).gap[0]
        if between == "constant":
            assert found == pytest.approx(true, rel=1e-12)
        else:
            assert true * (1 - 1e-12) <= found <= 1.5 * true  # 1/a is bounded by its interpolant
        nothing = tuple(np.zeros_like(q) for q in flux)
        # ‖v‖_a is the majorant's integral without a flux
        assert energy(v, boxes)[0] == pytest.approx(
            np.sqrt(by_quadrature(v, nothing, boxes, lambda a: 1 / a)), rel=1e-12
        )


def test_a_smooth_coefficient_is_bounded_closely():
    """The interpolant of 1/a exceeds it by a part in h²."""
    ratios = []
    for n in (4, 8, 16):
        x = np.linspace(0, 1, n + 1)
        boxes = Boxes((1.0,), np.exp(x)[None], np.zeros((1, n + 1)), "linear")
        v, flux = np.zeros((1, n + 1)), (np.ones((1, n + 1)),)
        exact = sum(np.log(b / a) / (b - a) / n for a, b in zip(np.exp(x[:-1]), np.exp(x[1:]), strict=True))
        ratios.append(majorant(v, flux, boxes).gap[0] ** 2 / exact - 1)
    assert np.all(np.array(ratios) > 0)
    np.testing.assert_allclose(np.log2(np.array(ratios[:-1]) / ratios[1:]), 2.0, atol=0.05)


def test_halved_fields_are_the_same_functions():
    rng = np.random.default_rng(1)
    v = rng.standard_normal((2, 4, 3))
    fine = halved(v)
    assert fine.shape == (2, 7, 5)
    np.testing.assert_array_equal(fine[:, ::2, ::2], v)
    # cell (0, 0) at (0.3, 0.8) lies in the halved cell (0, 1) at (0.6, 0.6)
    np.testing.assert_allclose(blend(v, (0.3, 0.8))[:, 0, 0], blend(fine, (0.6, 0.6))[:, 0, 1], rtol=1e-14)


def test_the_oscillation_and_the_friedrichs_constant():
    """A flux of zero: all of the bound is the source, known in closed form."""
    n, length = 4, 2.0
    x = np.linspace(0, length, n + 1)
    boxes = Boxes((length,), np.full((1, n + 1), 3.0), x[None].copy(), "linear")
    found = majorant(np.zeros((1, n + 1)), (np.zeros((1, n + 1)),), boxes)
    h = length / n
    means = (x[:-1] + x[1:]) / 2
    rest = length / np.pi * np.sqrt((means**2 * h).sum()) / np.sqrt(3.0)
    oscillation = h / np.pi * np.sqrt(h**3 / 12) / np.sqrt(3.0) * np.sqrt(n)
    assert found.rest[0] == pytest.approx(rest, rel=1e-10)
    assert found.combined[0] == pytest.approx(oscillation, rel=1e-6)
    assert boxes.friedrichs == pytest.approx(length / np.pi)
    assert 0 < found.noise[0] < 1e-150  # nothing is squared but the source: what may underflow is left
    assert found.upper[0] == pytest.approx(rest + oscillation, rel=1e-6)


def test_round_off_is_counted():
    """A field and its own flux: nothing is left but rounding, which is in the bound."""
    rng = np.random.default_rng(6)
    boxes = Boxes((1.0, 1.0), np.full((1, 8, 8), 3.0), np.zeros((1, 8, 8)), "constant")
    x, y = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 9), indexing="ij")
    slopes = rng.standard_normal(2)
    v = (1e3 + slopes[0] * x + slopes[1] * y)[None]
    flux = np.full((1, 9, 8), -3.0 * slopes[0]), np.full((1, 8, 9), -3.0 * slopes[1])
    found = majorant(v, flux, boxes)
    assert found.noise[0] > 1e3 * np.finfo(float).eps * np.abs(slopes).max()
    assert found.gap[0] < found.noise[0] < 1e-9 * energy(v, boxes)[0] * 1e3
    assert found.upper[0] >= (found.combined + found.rest + found.noise)[0]


@pytest.mark.parametrize("cells", SHAPES)
@pytest.mark.parametrize("between", ["constant", "linear"])
def test_fluxes_are_in_balance(cells, between):
    rng = np.random.default_rng(2)
    lengths = tuple(0.5 + rng.random(len(cells)))
    grid = Grid(cells, lengths)
    nodal = rng.uniform(0.1, 10, (2, *grid.shape)), rng.standard_normal((2, *grid.shape))
    spread = halved if between == "linear" else on_halves
    boxes = Boxes(lengths, spread(nodal[0]), spread(nodal[1]), between)
    v = rng.standard_normal((2, *grid.shape))
    faces = [np.delete(nodal[0], 0, k + 1) for k in range(grid.dim)]  # any means: the balance does not rest on them
    local = local_flux(v, boxes, Scheme(grid, tuple(faces), grid.inner("energy")))
    source = boxes.volume * boxes.middle(boxes.f)
    missing = source - outflow(local, boxes)
    for axis, first in enumerate(control_volumes(grid), start=1):
        missing = np.add.reduceat(missing, first, axis=axis)
    assert np.abs(missing).max() < 1e-11 * np.abs(source).max()
    fine = global_flux(halved(v), boxes, 1e-1, 3)
    assert np.abs(source - outflow(fine.flux, boxes)).max() < 1e-11 * np.abs(source).max()
    swept = relaxed_flux(halved(v), fine.flux, boxes, 2)
    assert np.abs(source - outflow(swept, boxes)).max() < 1e-11 * np.abs(source).max()


def test_sweeps_reach_the_best_turning_of_a_flux():
    """Against the least squares over all stream functions, assembled column by column."""
    rng = np.random.default_rng(3)
    boxes = boxes_of(rng, (3, 4), "constant", 1)
    v, flux = rng.standard_normal((1, 4, 5)), random_flux(rng, boxes, 1)

    def gap(stream):
        hx, hy = boxes.spacings
        x = flux[0] + np.diff(stream, axis=2) / hy
        y = flux[1] - np.diff(stream, axis=1) / hx
        return float(majorant(v, (x, y), boxes).gap[0] ** 2)

    count = 20
    zero = gap(np.zeros((1, 4, 5)))
    unit = np.eye(count).reshape(count, 1, 4, 5)
    half = [gap(e) - zero for e in unit]
    hessian = np.array(
        [[gap(e + g) - zero - p - q for g, q in zip(unit, half, strict=True)] for e, p in zip(unit, half, strict=True)]
    )
    slope = np.array(half) - np.diag(hessian) / 2
    best = gap((-np.linalg.pinv(hessian, rcond=1e-9) @ slope).reshape(1, 4, 5))
    found = float(majorant(v, relaxed_flux(v, flux, boxes, 400), boxes).gap[0] ** 2)
    assert found == pytest.approx(best, rel=1e-9)
    steps = [float(majorant(v, relaxed_flux(v, flux, boxes, n), boxes).gap[0]) for n in range(4)]
    assert np.all(np.diff(steps) < 0)


def test_sweeps_of_a_field_lower_its_energy_to_the_solution():
    rng = np.random.default_rng(4)
    boxes = boxes_of(rng, (4, 6), "constant", 1)
    v = rng.standard_normal((1, 5, 7))

    def excess(w):
        mean = blend(w, (0.5, 0.5))
        return float(energy(w, boxes)[0] ** 2 / 2 - (boxes.f * mean).sum() * boxes.volume)

    levels = [excess(relaxed_field(v, boxes, n)) for n in (0, 1, 2, 5, 300)]
    assert np.all(np.diff(levels) < 0)
    u = relaxed_field(v, boxes, 300)
    np.testing.assert_array_equal(u[:, 0], v[:, 0])
    for _ in range(20):
        w = u.copy()
        w[:, 1:-1, 1:-1] += 0.1 * rng.standard_normal((1, 3, 5))
        assert excess(w) > levels[-1]


def test_the_scheme_of_middles_is_its_own_transform_for_a_constant_coefficient():
    rng = np.random.default_rng(5)
    boxes = Boxes((1.0, 0.7), np.ones((2, 4, 6)), np.zeros((2, 4, 6)), "constant")
    scheme = Middles.of(boxes)
    p = rng.standard_normal((2, 24))
    np.testing.assert_allclose(scheme.inner.riesz(scheme.apply(p)), p, rtol=1e-10, atol=1e-12)

"""Grids with insulated sides: closed forms, finer grids, and what the bound refuses."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounds.equilibrated.given_data import GivenGrid, on_halves, random_data

import nwidth as nw
from nwidth.bounds.equilibrated.box_flux import Middles, Scheme, control_volumes, global_flux, local_flux
from nwidth.bounds.equilibrated.boxes import Boxes, energy, halved, outflow
from nwidth.bounds.equilibrated.grids import GridEquilibration
from nwidth.bounds.equilibrated.relax import relaxed_flux
from nwidth.core.errors import InputError
from nwidth.core.prediction import uncertified
from nwidth.problems.poisson import Poisson
from nwidth.spaces.grid import Grid

DN, ND, DD, NN = ("dirichlet", "neumann"), ("neumann", "dirichlet"), ("dirichlet",) * 2, ("neumann",) * 2


class Sides(GivenGrid):
    """Nothing crosses the sides without values."""


def bounded(problem, mu, v, flux, data="constant"):
    return nw.total_error(uncertified(mu, v, problem.space, np.ones(len(v), dtype=bool)), problem, flux, data)


def carried(problem, mu, v):
    return problem.space.unflatten(problem.systems(mu).impose(problem.space.flatten(v)))


def ones(problem):
    whole = np.ones((1, *problem.space.shape))
    return {"a": whole, "f": whole, "g": 0 * whole}


ODD = np.arange(1, 4000, 2, dtype=float)
#: The energy of -Δu = 1: x - x²/2 with one end held, also in a square and a cube; a quarter of a square of side two.
FORMS = {
    "line": ((DN,), 1 / 3),
    "line, other end": ((ND,), 1 / 3),
    "square, one side": ((NN, ND), 1 / 3),
    "square, two opposite sides": ((DD, NN), 1 / 12),
    "square, a quarter": ((DN, ND), 4 * (1 / 12 - (16 / np.pi**5 * np.tanh(ODD * np.pi / 2) / ODD**5).sum())),
    "cube, one side": ((NN, DN, NN), 1 / 3),
}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("flux", ["local", "global"])
@pytest.mark.parametrize("data", ["constant", "linear"])
def test_closed_forms(form, flux, data):
    words, exact = FORMS[form]
    rng = np.random.default_rng(0)
    n = 5 if len(words) == 3 else 8
    problem = Sides(Grid((n,) * len(words), 1.0, words))
    mu = ones(problem)
    u = nw.solve(problem, mu).field
    noise = rng.standard_normal(u.shape)
    for v in (u, u + 1e-3 * noise, noise, 0 * u, 1e5 * noise):
        v = carried(problem, mu, v)
        boxes, fine = GridEquilibration(problem).boxes(mu), halved(v)
        # (∇u, ∇v) = ∫ v for every v that vanishes where values are held
        mean = boxes.volume * boxes.middle(boxes.f)
        corners = [fine[(0, *(slice(c, c + 2 * n) for c in at))] for at in np.ndindex(*(2,) * len(words))]
        mean = boxes.volume * sum(c.sum() for c in corners) / len(corners)
        true = np.sqrt(exact - 2 * mean + energy(fine, boxes)[0] ** 2)
        found = bounded(problem, mu, v, flux, data)
        assert found.lower[0] <= true * (1 + 1e-9) and true <= found.total[0] * (1 + 1e-9)
        assert found.total[0] <= (1.6 if len(words) == 3 else 1.3) * true


def galerkin_distance(a, f, v, lengths, free):
    """`‖u_k - v‖_a` for the bilinear Galerkin solution u_k: a lower bound of `‖u - v‖_a`; data per cell, one sample."""
    hx, hy = lengths[0] / a.shape[0], lengths[1] / a.shape[1]
    index = np.arange(v.size).reshape(v.shape)
    corners = np.stack([c.ravel() for c in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:])], axis=1)
    one, two = np.array([[1, -1], [-1, 1.0]]), np.array([[2, 1], [1, 2.0]]) / 6
    # corners (0,0), (1,0), (0,1), (1,1): the second direction is the outer factor
    local = np.kron(two * hy, one / hx) + np.kron(one / hy, two * hx)
    matrix = a.ravel()[:, None, None] * local
    entries = (matrix.ravel(), (np.repeat(corners, 4, axis=1).ravel(), np.tile(corners, (1, 4)).ravel()))
    whole, inner = sp.csr_array(entries, shape=(v.size,) * 2), np.flatnonzero(free)
    load = np.bincount(corners.ravel(), np.repeat(f.ravel() * hx * hy / 4, 4), minlength=v.size)
    rest = (load - whole @ v.ravel())[inner]
    return float(np.sqrt(max(rest @ sla.spsolve(sp.csc_array(whole[inner][:, inner]), rest), 0.0)))


@settings(max_examples=25, report_multiple_bugs=False)
@given(
    n=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    seed=st.integers(0, 10**6),
    words=st.sampled_from([(DN, DD), (NN, DD), (ND, DN), (NN, ND), (DN, NN), (DD, ND)]),
    contrast=st.sampled_from([1.0, 4.0, 1e4]),
    kind=st.sampled_from(["near", "rough", "zero", "huge"]),
    flux=st.sampled_from(["local", "global"]),
)
def test_random_data_against_finer_grids(n, seed, words, contrast, kind, flux):
    rng = np.random.default_rng(seed)
    lengths = (1.0, float(rng.uniform(0.3, 3)))
    problem = Sides(Grid(n, lengths, words), str(rng.choice(["arithmetic", "harmonic"])))
    mu = random_data(rng, problem.space, 1, contrast)
    noise = rng.standard_normal((1, *problem.space.shape))
    u = nw.solve(problem, mu).field
    v = {"near": u + 1e-3 * np.abs(u).max() * noise, "rough": noise, "zero": 0 * u, "huge": 1e9 * noise}[kind]
    found = bounded(problem, mu, v, flux)
    a, f, v = on_halves(mu["a"])[0], on_halves(mu["f"])[0], halved(carried(problem, mu, v))
    errors = []
    for _ in range(3):
        free = Grid(a.shape, lengths, words).free
        errors.append(galerkin_distance(a, f, v[0], lengths, free))
        v, (a, f) = halved(v), (np.repeat(np.repeat(x, 2, 0), 2, 1) for x in (a, f))
    slack = 1e-9 * found.norm[0]
    assert errors[-1] <= found.total[0] + slack
    rest = errors[-1] ** 2 + 3 * max(errors[-1] ** 2 - errors[0] ** 2, 0.0)
    assert found.lower[0] <= np.sqrt(rest) + slack


@pytest.mark.parametrize("words", [(DN,), (DN, ND), (NN, DN), (NN, DN, DD)])
@pytest.mark.parametrize("between", ["constant", "linear"])
def test_fluxes_are_in_balance_and_nothing_crosses(words, between):
    rng = np.random.default_rng(2)
    grid = Grid((3, 4, 2)[: len(words)], 1.0, words)
    problem = Sides(grid)
    mu = random_data(rng, grid, 2, 10.0)
    bounds = GridEquilibration(problem, between=between)
    boxes, v = bounds.boxes(mu), rng.standard_normal((2, *grid.shape))
    faces = tuple(np.delete(mu["a"], 0, k + 1) for k in range(grid.dim))
    local = local_flux(v, boxes, Scheme(grid, faces, grid.inner("energy")))
    source = boxes.volume * boxes.middle(boxes.f)
    missing = source - outflow(local, boxes)
    for axis, first in enumerate(control_volumes(grid), start=1):
        missing = np.add.reduceat(missing, first, axis=axis)
    size = boxes.a.max() + np.abs(boxes.f).max()  # of the fluxes of v, which is corrected
    assert np.abs(missing).max() < 1e-11 * size
    fine = global_flux(halved(v), boxes, 1e-1, 3).flux
    swept = relaxed_flux(halved(v), fine, boxes, 2)
    for flux in (fine, swept):
        assert np.abs(source - outflow(flux, boxes)).max() < 1e-11 * size
    for flux in (local, fine, swept, relaxed_flux(halved(v), local, boxes, 2)):
        for k, (low, high) in enumerate(boxes.ends):
            assert not low or (np.take(flux[k], 0, k + 1) == 0).all()
            assert not high or (np.take(flux[k], -1, k + 1) == 0).all()


@settings(max_examples=20)
@given(n=st.tuples(st.integers(2, 5), st.integers(2, 5)), seed=st.integers(0, 10**6), linear=st.booleans())
def test_the_energy_of_the_scheme_bounds_that_of_the_equation(n, seed, linear):
    rng = np.random.default_rng(seed)
    words = [(DN, NN), (ND, DN), (NN, DD)][seed % 3]
    problem = Sides(Grid(n, 1.0, words), str(rng.choice(["arithmetic", "harmonic"])))
    mu = random_data(rng, problem.space, 2, 1e3)
    mu["f"], mu["g"] = 0 * mu["f"], 0 * mu["g"]
    bounds = GridEquilibration(problem, between="linear" if linear else "constant")
    w = carried(problem, mu, rng.standard_normal((2, *problem.space.shape)))
    if seed % 2:  # alternating along the sides: what a side alone sees
        w = carried(problem, mu, w * 1e-3 + (-1.0) ** np.arange(n[0] + 1)[:, None] * (np.arange(n[1] + 1) == n[1]))
    dofs = problem.space.flatten(w)
    factor = bounds.bounds(mu, dofs, dofs).factor
    discrete = np.sqrt(problem.systems(mu).energy(dofs))
    assert (energy(halved(w), bounds.boxes(mu)) <= factor * discrete * (1 + 1e-12)).all()


@pytest.mark.parametrize("end", [0, 1])
def test_edges_along_an_insulated_side_count_half(end):
    """A side of small coefficient beside a large one: what alternates along it has the energy of both."""
    words = (DD, ND if end == 0 else DN)
    problem = Sides(Grid((4, 3), (1.0, 50.0), words))
    a = np.full((1, 5, 4), 1e3)
    a[:, :, -end] = 1.0
    mu = {"a": a, "f": 0 * a, "g": 0 * a}
    w = np.zeros_like(a)
    w[0, 1:-1, -end] = (1, -1, 1)
    dofs, bounds = problem.space.flatten(w), GridEquilibration(problem)
    factor = bounds.bounds(mu, dofs, dofs).factor
    assert factor[0] == pytest.approx(np.sqrt((3 + 1e3) / 4))
    ratio = energy(halved(w), bounds.boxes(mu)) / np.sqrt(problem.systems(mu).energy(dofs))
    assert 5 < ratio[0] <= factor[0]


def test_the_friedrichs_constants_are_attained():
    ones_ = np.ones((1, 4, 4))
    assert Boxes((2.0, 1.0), ones_, ones_, "constant", ((False, True), (True, True))).friedrichs == pytest.approx(
        4 / np.pi
    )
    box = Boxes((2.0, 1.0), ones_, ones_, "constant", ((False, False), (True, False)))
    assert box.friedrichs == pytest.approx(1 / (np.pi * np.sqrt(1 / 4 + 1 / 4)))


def test_the_scheme_of_middles_is_its_own_transform_for_a_constant_coefficient():
    rng = np.random.default_rng(5)
    shape = np.ones((2, 4, 6))
    scheme = Middles.of(Boxes((1.0, 0.7), shape, 0 * shape, "constant", ((False, True), (True, True))))
    p = rng.standard_normal((2, 24))
    np.testing.assert_allclose(scheme.inner.riesz(scheme.apply(p)), p, rtol=1e-10, atol=1e-12)


def test_what_is_refused():
    problem = Poisson(8, boundary_type=("dirichlet", "neumann"))  # with a flux through its sides
    mu = problem.parameters.sample([0], 0)
    v = np.zeros((1, *problem.space.shape))
    assert not nw.TotalErrorBound.applies(problem) and nw.TotalErrorBound.applies(Sides(Grid((4, 4), 1.0, (DN, DD))))
    with pytest.raises(InputError, match="prescribes a flux"):
        bounded(problem, mu, v, "local")
    for words in ("neumann", ("dirichlet", "robin"), ("dirichlet", "periodic")):
        assert not nw.TotalErrorBound.applies(Sides(Grid((4, 4), 1.0, words)))
        with pytest.raises(InputError, match="or on some sides while the others are insulated"):
            nw.TotalErrorBound(Sides(Grid((4, 4), 1.0, words)))

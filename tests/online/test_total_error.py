"""The distance to the exact solution: bounds from both sides against closed forms and finer and finer grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounds.equilibrated.given_data import (
    GivenGrid,
    GivenMesh,
    answer,
    errors_on_finer_meshes,
    extrapolated,
    line_error,
    on_halves,
    plane_errors,
    random_data,
    random_mesh,
    solved,
)

import nwidth as nw
from nwidth.bounds.equilibrated.boxes import energy, halved
from nwidth.bounds.equilibrated.grids import GridEquilibration
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.problems.base import Stability
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.spaces.grid import Grid

KINDS = ("solution", "near", "rough", "zero", "huge", "lifted")


def field(kind, problem, mu, rng):
    """Fields of every kind, wrong boundary values included."""
    u = solved(problem, mu)
    noise = rng.standard_normal(u.shape)
    scale = np.abs(u).max() + 1e-300
    table = {
        "solution": u,
        "near": u + 1e-3 * scale * noise,
        "rough": scale * noise,
        "zero": np.zeros_like(u),
        "huge": 1e9 * scale * noise,
        "lifted": u + 1e5 * scale,
    }
    return table[kind]


def carries(problem, mu, v):
    """The field with the prescribed values, as it is bounded."""
    return problem.space.unflatten(problem.systems(mu).impose(problem.space.flatten(v)))


@settings(max_examples=40)
@given(
    n=st.integers(2, 12),
    seed=st.integers(0, 10**6),
    contrast=st.sampled_from([1.0, 4.0, 1e4]),
    kind=st.sampled_from(KINDS),
    flux=st.sampled_from(["local", "global"]),
)
def test_lines_against_the_closed_form(n, seed, contrast, kind, flux):
    rng = np.random.default_rng(seed)
    problem = GivenGrid(Grid((n,), float(rng.uniform(0.1, 10))))
    mu = random_data(rng, problem.space, 3, contrast)
    v = field(kind, problem, mu, rng)
    found = nw.total_error(answer(problem, mu, v), problem, flux)
    true = line_error(on_halves(mu["a"]), on_halves(mu["f"]), carries(problem, mu, v), problem.space.lengths[0])
    assert (found.lower <= true).all() and (true <= found.total).all()
    if flux == "global":
        assert (found.total <= 1.5 * true + 1e-6 * found.norm).all()
    assert (found.discretisation_lower <= found.discretisation).all()


def test_a_line_is_bounded_exactly_in_balance():
    """In one dimension the flux of a balanced scheme differs from the true one by a constant alone."""
    problem = Darcy(resolution=16, dim=1)
    mu = problem.parameters.sample(range(5), 0)
    u = solved(problem, mu)
    found = nw.total_error(answer(problem, mu, u), problem, "global")
    true = line_error(on_halves(mu["a"]), on_halves(np.ones_like(u)), u, 1.0)
    np.testing.assert_allclose(found.total, true.astype(float), rtol=2e-2)


@settings(max_examples=12)
@given(
    n=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    seed=st.integers(0, 10**6),
    contrast=st.sampled_from([1.0, 4.0, 1e4]),
    kind=st.sampled_from(KINDS),
    data=st.sampled_from(["constant", "linear"]),
    flux=st.sampled_from(["local", "global"]),
)
def test_planes_against_finer_grids(n, seed, contrast, kind, data, flux):
    rng = np.random.default_rng(seed)
    problem = GivenGrid(Grid(n, (1.0, float(rng.uniform(0.3, 3)))))
    mu = random_data(rng, problem.space, 1, contrast, jumps=data == "constant")
    v = field(kind, problem, mu, rng)
    found = nw.total_error(answer(problem, mu, v), problem, flux, data)
    spread = on_halves if data == "constant" else halved
    fine = halved(carries(problem, mu, v))[0]
    errors = plane_errors(spread(mu["a"])[0], spread(mu["f"])[0], fine, problem.space.lengths, data)
    slack = 1e-9 * found.norm[0]
    assert errors[-1] <= found.total[0] + slack
    # what the finest grid has not seen yet is at most what the last two steps gave
    rest = errors[-1] ** 2 + 3 * max(errors[-1] ** 2 - errors[-3] ** 2, 0.0)
    assert found.lower[0] <= np.sqrt(rest) + slack


@pytest.mark.parametrize("face", ["arithmetic", "harmonic"])
def test_effectivity_at_contrast_four(face):
    problem = Darcy(resolution=12, face=face)
    mu = problem.parameters.sample(range(2), 0)
    u = solved(problem, mu)
    x, y = np.moveaxis(problem.space.points().reshape(13, 13, 2), 2, 0)
    fields = {"solution": u, "near": u * (1 + 0.1 * np.sin(9 * x)), "far": 0.5 * u + x * y * (1 - x) * (1 - y)}
    for v in fields.values():
        both = {flux: nw.total_error(answer(problem, mu, v), problem, flux) for flux in ("local", "global")}
        for i in range(2):
            parts = on_halves(mu["a"])[i], on_halves(np.ones_like(u))[i], halved(v)[i]
            true = extrapolated(plane_errors(*parts, (1.0, 1.0), "constant"))
            assert true <= both["global"].total[i] <= 1.1 * true
            assert true <= both["local"].total[i] <= 1.25 * true
            assert 0.8 * true <= both["local"].lower[i] <= true
            assert 0.85 * true <= both["global"].lower[i] <= true


def test_effectivity_for_a_smooth_coefficient_and_its_order():
    mu = {"slope": np.array([3.0]), "frequency": np.array([3.0])}
    totals = []
    for n in (8, 16, 32):
        problem = Poisson(n)
        u = solved(problem, mu)
        found = nw.total_error(answer(problem, mu, u), problem, "local", "linear")
        totals.append(found.total[0])
        if n == 16:
            a, f = problem.coefficient(mu), problem.source(mu)
            parts = halved(a)[0], halved(f)[0], halved(u)[0]
            true = extrapolated(plane_errors(*parts, (1.0, 1.0), "linear"))
            assert true <= found.total[0] <= 1.4 * true
            assert 0.6 * true <= found.lower[0] <= true
    np.testing.assert_allclose(np.log2(np.array(totals[:-1]) / totals[1:]), 1.0, atol=0.15)
    assert totals[-1] < 0.1


def test_three_dimensions():
    problem = Darcy(resolution=6, dim=3, modes=4)
    mu = problem.parameters.sample([0], 0)
    u = solved(problem, mu)
    coarse = nw.total_error(answer(problem, mu, u), problem, "local")
    tight = nw.total_error(answer(problem, mu, u), problem, "global")
    assert tight.lower <= tight.total <= coarse.total
    # the energy of the exact solution of -Δu = 1 in the unit cube: a double series
    cube = GivenGrid(Grid((8, 8, 8)))
    ones = np.ones((1, 9, 9, 9))
    data = {"a": ones, "f": ones, "g": 0 * ones}
    odd = np.arange(1.0, 160, 2)
    i, j, k = np.meshgrid(odd, odd, odd, indexing="ij")
    exact = 512 / np.pi**8 * (1.0 / ((i * j * k) ** 2 * (i**2 + j**2 + k**2))).sum()
    v = solved(cube, data)
    fine = halved(v)
    boxes = GridEquilibration(cube).boxes(data)
    mean = sum(boxes.volume * fine[0][tuple(slice(c, c + 16) for c in at)].sum() / 8 for at in np.ndindex(2, 2, 2))
    true = np.sqrt(exact - 2 * mean + energy(fine, boxes)[0] ** 2)
    for flux, most in (("local", 1.45), ("global", 1.2)):
        found = nw.total_error(answer(cube, data, v), cube, flux)
        assert true * (1 - 1e-3) <= found.total[0] <= most * true


def test_the_square_against_its_series():
    """-Δu = 1 on the unit square: the energy of u in closed form, so that the true error is exact to round-off."""
    odd = np.arange(1, 4000, 2, dtype=float)
    exact = 1 / 12 - (16 / np.pi**5 * np.tanh(odd * np.pi / 2) / odd**5).sum()
    problem = GivenGrid(Grid((12, 12)))
    ones = np.ones((1, 13, 13))
    mu = {"a": ones, "f": ones, "g": 0 * ones}
    rng = np.random.default_rng(0)
    for kind in KINDS:
        v = carries(problem, mu, field(kind, problem, mu, rng))
        fine = halved(v)
        boxes = GridEquilibration(problem).boxes(mu)
        mean = boxes.volume * sum(fine[:, i : i + 24, j : j + 24].sum() for i in (0, 1) for j in (0, 1)) / 4
        true = np.sqrt(exact - 2 * mean + energy(fine, boxes)[0] ** 2)
        for flux in ("local", "global"):
            found = nw.total_error(answer(problem, mu, v), problem, flux)
            assert found.lower[0] <= true * (1 + 1e-9) and true <= found.total[0] * (1 + 1e-9)
            assert found.total[0] <= 1.25 * true


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10**6),
    inside=st.integers(1, 25),
    contrast=st.sampled_from([1.0, 4.0, 1e4]),
    kind=st.sampled_from(KINDS),
    flux=st.sampled_from(["local", "global"]),
)
def test_triangles_against_finer_meshes(seed, inside, contrast, kind, flux):
    rng = np.random.default_rng(seed)
    problem = random_mesh(rng, inside)
    count = len(problem.triangles)
    mu = {
        "a": contrast ** rng.random((1, count)),
        "f": rng.standard_normal((1, count)),
        "g": rng.standard_normal((1, len(problem.nodes))),
    }
    u = problem.solved(mu)
    noise = rng.standard_normal(u.shape)
    table = {"solution": u, "near": u + 1e-3 * noise, "rough": noise, "zero": 0 * u, "huge": 1e9 * noise}
    v = table.get(kind, u + 1e5)
    found = nw.total_error(answer(problem, mu, v), problem, flux)
    errors = errors_on_finer_meshes(problem, mu, v, GivenMesh.solved)
    slack = 1e-9 * found.norm[0]
    assert errors[-1] <= found.total[0] + slack
    rest = errors[-1] ** 2 + 3 * max(errors[-1] ** 2 - errors[0] ** 2, 0.0)
    assert found.lower[0] <= np.sqrt(rest) + slack


def test_effectivity_on_triangles():
    for blocks in (2, 3):
        problem = ThermalBlock(blocks, 6)
        mu = problem.parameters.sample(range(3), 0)
        mu = {name: 0.25 + 0.75 * (values - 0.1) / 0.9 for name, values in mu.items()}  # contrast 4
        u, energies = nw.solve(problem, mu).field, []
        for scale in (1, 2, 4, 8):
            finer = ThermalBlock(blocks, 6 * scale)
            w = solved(finer, mu)
            energies.append(finer.systems(mu).energy(w))
        first, second = energies[2] - energies[1], energies[3] - energies[2]
        true = np.sqrt(energies[3] + second**2 / (first - second) - energies[0])
        for flux in ("local", "global"):
            found = nw.total_error(answer(problem, mu, u), problem, flux)
            assert (true * 0.999 <= found.total).all() and (found.total <= 1.2 * true).all()
            assert (0.85 * true <= found.lower).all() and (found.lower <= true).all()


def parts(problem, mu, v):
    """Both fluxes, and the discrete solution."""
    return [nw.total_error(answer(problem, mu, v), problem, flux) for flux in ("local", "global")]


@pytest.mark.parametrize("size", [0.0, 0.01, 0.1, 1.0])
def test_the_split_on_a_grid(size):
    problem = Darcy(resolution=12)
    mu = problem.parameters.sample(range(2), 3)
    u = solved(problem, mu)
    x, y = np.moveaxis(problem.space.points().reshape(13, 13, 2), 2, 0)
    v = u + size * np.abs(u).max() * np.sin(np.pi * x) * np.sin(3 * np.pi * y)
    boxes = GridEquilibration(problem).boxes(mu)
    distance = energy(halved(u - v), boxes)
    for found in parts(problem, mu, v):
        for i in range(2):
            data = on_halves(mu["a"])[i], on_halves(np.ones_like(u))[i]
            grid = plane_errors(*data, halved(u)[i], (1.0, 1.0), "constant", 2)[-1]
            slack = 1e-10 * found.norm[i]
            assert found.surrogate_lower[i] - slack <= distance[i] <= found.surrogate[i] + slack
            assert found.surrogate[i] <= 1.1 * distance[i] + 2e-3 * found.norm[i]
            assert grid <= found.discretisation[i]
            assert found.discretisation[i] <= 1.3 * grid
            assert 0.75 * grid <= found.discretisation_lower[i] <= 1.05 * grid
        wanted = {0.0: "a finer grid", 0.01: "a finer grid", 1.0: "refine the answer"}
        assert size not in wanted or (found.advice == wanted[size]).all()


def test_the_split_on_triangles():
    problem = ThermalBlock(2, 8)
    mu = problem.parameters.sample(range(3), 1)
    u = solved(problem, mu)
    finer = ThermalBlock(2, 64)
    energies = finer.systems(mu).energy(solved(finer, mu)) - problem.systems(mu).energy(u)
    grid = np.sqrt(energies)
    for size, advice in ((0.0, "a finer grid"), (0.1, "both"), (3.0, "refine the answer")):
        v = u * (1 + size * np.sin(7 * problem.space.nodes[:, 0]))
        distance = np.sqrt(problem.systems(mu).energy(v - u))
        for found in parts(problem, mu, v):
            slack = 1e-10 * found.norm
            assert (found.surrogate_lower - slack <= distance).all() and (distance <= found.surrogate + slack).all()
            assert (grid <= found.discretisation).all() and (found.discretisation <= 1.4 * grid).all()
            assert (found.discretisation_lower <= 1.05 * grid).all()
            assert (np.sqrt(grid**2 + distance**2) <= found.total).all()
            assert (found.lower <= 1.05 * np.sqrt(grid**2 + distance**2)).all()
            assert (found.advice == advice).all()


def test_the_parts_hold_after_a_single_step():
    """Far from the discrete solution, what is left is in both parts."""
    problem = Darcy(resolution=12)
    mu = problem.parameters.sample(range(3), 5)
    u = solved(problem, mu)
    v = np.where(u != 0, 1.0, 0.0)
    distance = energy(halved(u - v), GridEquilibration(problem).boxes(mu))
    for steps in (1, 2):
        found = nw.TotalErrorBound(problem, steps=steps)(answer(problem, mu, v))
        assert (found.split_steps <= 2 * steps).all()
        assert (found.surrogate_lower <= distance).all() and (distance <= found.surrogate).all()


@settings(max_examples=30)
@given(n=st.tuples(st.integers(2, 6), st.integers(2, 6)), seed=st.integers(0, 10**6), linear=st.booleans())
def test_the_energy_of_the_scheme_bounds_that_of_the_equation(n, seed, linear):
    rng = np.random.default_rng(seed)
    problem = GivenGrid(Grid(n), str(rng.choice(["arithmetic", "harmonic"])))
    mu = random_data(rng, problem.space, 2, 1e3)
    mu["f"], mu["g"] = 0 * mu["f"], 0 * mu["g"]
    bounds = GridEquilibration(problem, between="linear" if linear else "constant")
    w = carries(problem, mu, rng.standard_normal((2, *problem.space.shape)))
    dofs = problem.space.flatten(w)
    factor = bounds.bounds(mu, dofs, dofs).factor
    discrete = np.sqrt(problem.systems(mu).energy(dofs))
    assert (energy(halved(w), bounds.boxes(mu)) <= factor * discrete * (1 + 1e-12)).all()


def test_an_answer_that_is_not_finite():
    problem = Darcy(resolution=8)
    mu = problem.parameters.sample(range(3), 0)
    v = solved(problem, mu)
    v[1, 3, 3] = np.nan
    found = nw.total_error(answer(problem, mu, v), problem)
    assert np.isinf(found.total[1]) and found.lower[1] == 0 and found.reason[1] == "the field is not finite"
    assert np.isfinite(found.total[[0, 2]]).all() and not found.reason[0]
    assert np.isinf(found.relative[1]) and found.relative[0] < 0.5
    assert found.advice[1] == "" and found.advice[0] != ""
    only = nw.total_error(answer(problem, mu, v).take(slice(1, 2)), problem)
    assert np.isinf(only.total).all() and len(only) == 1
    np.testing.assert_array_equal(found.take(slice(0, 1)).total, found.total[:1])


def test_the_promise_in_words():
    problem = Darcy(resolution=8)
    mu = problem.parameters.sample([0], 0)
    found = nw.total_error(answer(problem, mu, np.zeros((1, 9, 9))), problem)
    assert isinstance(found.guarantee, Rigorous) and isinstance(found.split_guarantee, Rigorous)
    text = str(found.guarantee)
    assert "exact solution" in text and "control volume" in text and "discretisation" in found.guarantee.covers
    assert "not included" not in text
    assert found.relative[0] == np.inf  # zero is as far from u as u is large


class Unproven(Darcy):
    def constant(self, mu, field=None):
        found = super().constant(mu)
        return Stability(found.lower, found.upper, proven=False)


def test_without_a_proven_constant_the_parts_are_estimates():
    problem = Unproven(resolution=8)
    mu = problem.parameters.sample([0], 0)
    found = nw.total_error(answer(problem, mu, solved(problem, mu)), problem)
    assert isinstance(found.guarantee, Rigorous) and isinstance(found.split_guarantee, Estimate)


def test_what_is_refused():
    problem = Darcy(resolution=8)
    mu = problem.parameters.sample([0], 0)
    prediction = answer(problem, mu, solved(problem, mu))
    with pytest.raises(InputError, match="flux is 'best'"):
        nw.total_error(prediction, problem, "best")
    with pytest.raises(InputError, match="data is 'cubic'"):
        nw.total_error(prediction, problem, data="cubic")
    with pytest.raises(InputError, match="complex"):
        nw.total_error(answer(problem, mu, prediction.field + 0j), problem)
    with pytest.raises(InputError, match="values prescribed on its whole boundary"):
        nw.TotalErrorBound(Poisson(8, boundary_type=("dirichlet", "robin")))
    with pytest.raises(InputError, match="no bound of the total error for Helmholtz"):
        nw.TotalErrorBound(nw.problems.get("helmholtz", resolution=8))
    with pytest.raises(InputError, match="is for grids"):
        nw.TotalErrorBound(ThermalBlock(2, 4), data="linear")


class Wrong(ThermalBlock):
    def cell_data(self, mu):
        data = super().cell_data(mu)
        return type(data)(data.a * 1.01, data.f)


class WrongLater(ThermalBlock):
    def cell_data(self, mu):
        data = super().cell_data(mu)
        a = np.array(data.a)
        a[2, 0] *= 1.001  # one triangle of the third sample
        return type(data)(a, data.f)


class WrongSource(ThermalBlock):
    def cell_data(self, mu):
        data = super().cell_data(mu)
        return type(data)(data.a, data.f + 1e-6 * (np.arange(data.f.shape[1]) == 17))


@pytest.mark.parametrize("kind", [Wrong, WrongLater, WrongSource])
@pytest.mark.parametrize("level", [0.0, 1.0, 1e9])
def test_cell_data_that_the_matrices_are_not_made_of(kind, level):
    """In any sample, at any triangle, whatever the answers are: zero, or so large that the source hardly counts."""
    problem = kind(2, 4)
    mu = problem.parameters.sample(range(3), 0)
    v = np.full((3, problem.space.size), level)
    with pytest.raises(InputError, match="is not what its matrices are made of"):
        nw.total_error(answer(problem, mu, v), problem)
    nw.total_error(answer(problem, mu, v), ThermalBlock(2, 4))


def test_pieces_of_a_batch_agree_with_the_whole(monkeypatch):
    problem = Darcy(resolution=8)
    mu = problem.parameters.sample(range(5), 0)
    v = solved(problem, mu) * 1.1
    whole = nw.total_error(answer(problem, mu, v), problem)
    monkeypatch.setattr("nwidth.bounds.equilibrated.grids._TOGETHER", 700)
    pieces = nw.total_error(answer(problem, mu, v), problem)
    np.testing.assert_allclose(pieces.total, whole.total, rtol=1e-10)
    np.testing.assert_allclose(pieces.lower, whole.lower, rtol=1e-6)

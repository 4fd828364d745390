"""Multigrid on grids: every boundary, size and dimension against sparse elimination; how the iterations grow."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.problems.transport_cases import ENDS, RandomTransport

from nwidth.core.errors import InputError
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.problems.darcy import Darcy
from nwidth.problems.poisson import Poisson
from nwidth.problems.stencils import Stencilled
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.solvers.choose import default_solver, explain
from nwidth.solvers.direct import Direct
from nwidth.solvers.multigrid import Multigrid, suits
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid

MU = {"seed": np.array([3.0, 4.0, 5.0])}


def solved(problem, mu=MU, solver=None, **options):
    solver = solver or Multigrid()
    return solver.solve(solver.prepare(problem), mu, **options)


def eliminated(problem, mu, i):
    """The field of sample i by sparse elimination, and the relative residual of another field."""
    system = problem.assemble({name: values[i : i + 1] for name, values in mu.items()})
    matrix = scipy.sparse.csc_matrix(system.matrix)[system.free][:, system.free]
    load = system.load[system.free]

    def residual(field):
        w = (field.ravel() - system.lift)[system.free]
        return np.linalg.norm(load - matrix @ w) / np.linalg.norm(load)

    field = system.lift.copy()
    field[system.free] += scipy.sparse.linalg.spsolve(matrix, load)
    return field.reshape(problem.space.shape), residual


GRIDS = [Grid((n,), 2.0, (ends,), centring) for n, ends, centring in product((12, 17), ENDS, ("node", "cell"))]
GRIDS += [
    Grid((20, 14), (1.0, 0.7), (first, second), centring)
    for (first, second), centring in product(
        [("dirichlet", "neumann"), ("robin", "periodic"), ("periodic", ("dirichlet", "robin")), ("neumann", "robin")],
        ("node", "cell"),
    )
]
GRIDS += [
    Grid((9, 10, 8), (1.0, 0.7, 0.5), (("neumann", "dirichlet"), "periodic", "robin"), "node"),
    Grid((8, 7, 12), (1.0, 0.7, 0.5), ("dirichlet", "neumann", "periodic"), "cell"),
]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("moving", [False, True])
def test_every_boundary_against_elimination(grid, moving):
    problem = RandomTransport(space=grid, moving=moving, reacting=True)
    answer = solved(problem, stop=Tolerance("residual", 1e-9))
    assert (answer.status == Status.CONVERGED).all(), answer.note
    for i in range(3):
        field, residual = eliminated(problem, MU, i)
        assert residual(answer.field[i]) <= 1.05e-9
        np.testing.assert_allclose(answer.field[i], field, atol=1e-6 * np.abs(field).max(), rtol=0)


@settings(max_examples=25)
@given(
    cells=st.lists(st.integers(2, 40), min_size=1, max_size=2),
    ends=st.tuples(st.sampled_from(ENDS), st.sampled_from(ENDS)),
    centring=st.sampled_from(["node", "cell"]),
    seed=st.integers(0, 999),
    digits=st.integers(2, 10),
)
def test_the_residual_tolerance_is_met(cells, ends, centring, seed, digits):
    """Random coefficients of contrast 10⁴, loads and sizes; the residual by the assembled matrix."""
    cells = [n + 2 + n % 2 if e == "periodic" else n for n, e in zip(cells, ends, strict=False)]
    problem = RandomTransport(space=Grid(tuple(cells), 1.0, ends[: len(cells)], centring), moving=False)
    mu = {"seed": np.array([float(seed)])}
    answer = solved(problem, mu, stop=Tolerance("residual", 10.0**-digits))
    assert answer.status[0] == Status.CONVERGED, answer.note
    _, residual = eliminated(problem, mu, 0)
    assert residual(answer.field[0]) <= 1.01 * 10.0**-digits + 1e-12


@pytest.mark.parametrize("cells", [(16, 24), (10, 12, 6)])
@pytest.mark.parametrize("ends", ["neumann", "periodic"])
@pytest.mark.parametrize("centring", ["node", "cell"])
def test_where_only_differences_count_the_solution_has_mean_zero(cells, ends, centring):
    problem = RandomTransport(space=Grid(cells, 1.0, ends, centring), moving=False, reacting=False)
    problem = Balanced(**vars(problem))
    answer = solved(problem)
    assert answer.converged.all(), answer.note
    volumes = problem.space.volumes()
    for i, u in enumerate(answer.field):
        assert abs((u * volumes).sum()) <= 1e-12 * np.abs(u).max()
        system = problem.assemble({"seed": MU["seed"][i : i + 1]})
        assert np.linalg.norm(system.load - system.matrix @ u.ravel()) <= 1.05e-8 * np.linalg.norm(system.load)


@dataclass(frozen=True)
class Balanced(RandomTransport):
    balance: bool = True


def iterations(problem, count=3, **options):
    solver = Multigrid(**options)
    answer = solved(problem, problem.parameters.sample(range(count), 1), solver)
    assert answer.converged.all(), answer.note
    return float(np.median(answer.stats["iterations"]))


def test_iterations_hardly_depend_on_size_contrast_and_anisotropy():
    base = iterations(Darcy(64))
    assert base <= 7
    assert iterations(Darcy(100)) <= base + 1
    assert iterations(Darcy(63, law="log-normal", sigma=1.6)) <= base + 1
    assert iterations(Darcy(64, low=1.0, high=1e6)) <= 2 * base
    assert iterations(Darcy(64, lengths=(1.0, 31.6))) <= base + 2
    assert iterations(Darcy(64, lengths=(31.6, 1.0))) <= base + 2
    assert iterations(Darcy(16, dim=3, modes=16)) <= base
    assert iterations(Darcy(16, dim=3, modes=16, lengths=(1.0, 31.6, 1.0))) <= base + 2
    assert iterations(Darcy(256, dim=1, modes=64)) <= base
    assert iterations(Darcy(64), sweeps=1) > base


def test_advection_upwind_and_central():
    assert iterations(AdvectionDiffusion(64, 64.0)) <= 6
    assert iterations(AdvectionDiffusion(64, 64.0, scheme="central")) <= 6
    assert iterations(AdvectionDiffusion(64, 3200.0)) <= 20
    # couplings of both signs: the cycle is made for a matrix with more diffusion, the answer is that of the given one
    assert iterations(AdvectionDiffusion(64, 800.0, scheme="central")) <= 40


def test_central_differences_where_the_flow_dominates_against_elimination():
    problem = AdvectionDiffusion(24, 400.0, scheme="central")
    mu = problem.parameters.sample(range(2), 0)
    answer = solved(problem, mu)
    assert answer.converged.all()
    for i in range(2):
        field, residual = eliminated(problem, mu, i)
        assert residual(answer.field[i]) <= 1.05e-8
        np.testing.assert_allclose(answer.field[i], field, atol=1e-6 * np.abs(field).max())


def test_a_closed_form_is_met_to_discretisation_error():
    """Second order and absolute error, through the solver; prescribed values are returned as they are."""
    errors = []
    for n in (16, 32, 64):
        problem = Poisson(n)
        mu = {"slope": np.array([2.0]), "frequency": np.array([3.0])}
        answer = solved(problem, mu)
        errors.append(np.abs(answer.field - problem.exact(mu)).max())
        edge = answer.field[:, 0] - problem.exact(mu)[:, 0]
        assert np.abs(edge).max() <= 1e-14
    assert errors[-1] < 5e-4
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.1)


def test_a_guaranteed_energy_tolerance_is_met():
    problem = Darcy(24)
    mu = problem.parameters.sample(range(4), 0)
    answer = solved(problem, mu, stop=Tolerance("energy", 1e-5))
    assert answer.converged.all()
    exact = solved(problem, mu, RieszCG(), stop=Tolerance("energy", 1e-11)).field
    systems = problem.systems(mu)
    error = np.sqrt(systems.energy(problem.space.flatten(exact - answer.field)))
    assert (error <= answer.stats["bound"]).all()
    assert (answer.stats["bound"] <= 1.001e-5 * answer.stats["norm"]).all()
    with pytest.raises(InputError, match="no stability constant"):
        solved(RandomTransport(space=Grid((8, 8))), stop=Tolerance("energy", 1e-3))


def test_a_start_is_used():
    problem = Darcy(32)
    mu = problem.parameters.sample(range(2), 0)
    first = solved(problem, mu)
    again = solved(problem, mu, x0=first.field)
    assert (again.stats["iterations"] == 0).all()
    np.testing.assert_array_equal(again.field, first.field)
    with pytest.raises(InputError, match="x0"):
        solved(problem, mu, x0=np.full_like(first.field, np.nan))


def test_a_sample_does_not_depend_on_its_batch():
    problem = Darcy(32, low=1.0, high=1e5)
    mu = problem.parameters.sample(range(5), 0)
    whole = solved(problem, mu).field
    for i in range(5):
        np.testing.assert_array_equal(solved(problem, {"a": mu["a"][i : i + 1]}).field[0], whole[i])


def test_too_few_iterations_are_a_failure_with_a_history():
    answer = solved(Darcy(32), Darcy(32).parameters.sample(range(2), 0), Multigrid(max_iterations=2))
    assert (answer.status == Status.MAX_ITERATIONS).all()
    assert "sample 0: max_iterations, residuals" in answer.note
    assert (answer.stats["residual"] > 1e-8).all()
    assert (answer.stats["iterations"] == 2).all()


class _Given(Stencilled):
    """Stencils as they are handed over."""

    parameters = Box(("s",), low=(0.0,), high=(1.0,))
    space = Grid((8, 8))

    def __init__(self, problem, mu, **changes):
        self.space, self._stencils = problem.space, replace(problem.stencils(mu), **changes)

    def stencils(self, mu):
        return self._stencils

    def lift(self, mu):
        return np.zeros((len(self._stencils), self.space.size))

    def assemble(self, mu):
        raise InputError("not needed here")


def test_what_has_no_solution_is_a_failure_with_a_reason():
    problem = Balanced(space=Grid((8, 8), 1.0, "neumann"), moving=False, reacting=False)
    load = problem.stencils(MU).load + np.array([0.0, 1.0, 0.0])[:, None, None, None]
    answer = solved(_Given(problem, MU, load=load), {"s": np.zeros(3)})
    assert answer.status.tolist() == [Status.CONVERGED, Status.SINGULAR, Status.CONVERGED]
    assert "sample 1: the load sums to" in answer.note
    assert np.isnan(answer.field[1]).all()
    assert np.isfinite(answer.field[[0, 2]]).all()


def test_a_singular_matrix_and_one_that_is_not_definite_are_failures():
    problem = Darcy(8)
    mu = problem.parameters.sample(range(2), 0)
    stencils = problem.stencils(mu)
    nothing = _Given(problem, mu, centre=0 * stencils.centre, plus=tuple(0 * p for p in stencils.plus))
    assert (solved(nothing, {"s": np.zeros(2)}).status == Status.SINGULAR).all()
    negative = _Given(problem, mu, centre=-stencils.centre, plus=tuple(-p for p in stencils.plus))
    assert not solved(negative, {"s": np.zeros(2)}).converged.any()


def test_values_that_are_not_finite_are_refused():
    problem = Darcy(8)
    mu = problem.parameters.sample(range(2), 0)
    mu["a"][1, 3, 4] = np.nan
    with pytest.raises(InputError, match="sample 1 is nan at node \\(3, 4\\)"):
        solved(problem, mu)
    clean = problem.parameters.sample(range(2), 0)
    load = problem.stencils(clean).load
    load[1, 2, 0, 2] = np.inf
    with pytest.raises(InputError, match="load: row 1"):
        solved(_Given(problem, clean, load=load), {"s": np.zeros(2)})


def test_which_problems_it_suits():
    assert isinstance(default_solver(Darcy(16)), Multigrid)
    assert "multigrid" in explain(Darcy(16))
    odd = RandomTransport(space=Grid((45, 45), 1.0, "periodic", "cell"))
    assert not suits(odd)
    assert not isinstance(default_solver(odd), Multigrid)
    with pytest.raises(InputError, match="cannot be halved below"):
        solved(odd)
    assert suits(RandomTransport(space=Grid((45, 44), 1.0, "neumann", "cell")))
    assert not suits(ThermalBlock())
    with pytest.raises(InputError, match="does not give stencils"):
        Multigrid().prepare(ThermalBlock())


def test_solves_of_a_problem_share_plans_and_memory():
    problem, solver = Darcy(32), Multigrid()
    state = solver.prepare(problem)
    for i in range(3):
        solver.solve(state, problem.parameters.sample([i], 0))
    assert len(state.plans) == 1
    assert len(state.workspaces) == 1


def test_agrees_with_a_direct_solver_in_three_dimensions():
    problem = Darcy(10, dim=3, modes=10)
    mu = problem.parameters.sample(range(2), 0)
    np.testing.assert_allclose(
        solved(problem, mu, stop=Tolerance("residual", 1e-12)).field, solved(problem, mu, Direct()).field, atol=1e-12
    )


def test_a_residual_below_the_rounding_of_the_solution_is_a_failure_that_says_so():
    """Large inclusions that touch no boundary, at contrast 1e10: no float64 vector has a residual of 1e-8."""
    a = np.ones((1, 33, 33))
    a[:, 8:24, 8:24] = 1e10
    answer = solved(Darcy(32, low=1.0, high=1e10), {"a": a})
    assert answer.status.tolist() == [Status.MAX_ITERATIONS]
    assert "what rounding in float64 leaves" in answer.note
    assert answer.stats["iterations"][0] < 100

"""GMRES in the X⁻¹ inner product: the smallest residual of each Krylov space, and bounds that hold."""

import numpy as np
import pytest
import scipy.linalg as la
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounds.nonsymmetric_cases import RandomLinear, error, exact

from nwidth.bounds.inf_sup_constants import InfSupConstants, SampledInfSup
from nwidth.bounds.metric import Metric, dot
from nwidth.core.errors import InputError
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.problems.darcy import Darcy
from nwidth.problems.helmholtz import Helmholtz
from nwidth.solvers.arnoldi import Arnoldi
from nwidth.solvers.gmres import RieszGMRES
from nwidth.spaces.grid import Grid
from nwidth.testing.dense import DenseProblem

MU = {"t": np.array([0.0, 0.4, 1.0])}
SHAPES = ("general", "symmetric", "complex symmetric")


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 25), seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES), steps=st.integers(1, 12))
def test_every_step_minimises_the_dual_norm_over_its_krylov_space(size, seed, shape, steps):
    """Against a dense least-squares problem over explicit Krylov vectors, made orthogonal."""
    problem = RandomLinear(size, seed, shape)
    systems, metric = problem.systems(MU), Metric.of(problem.space)
    residual = systems.residual(systems.lift)
    run, steps = Arnoldi(systems, metric.inner, residual, 12), min(steps, size)
    for _ in range(steps):
        run.step()
    left = residual - systems.apply(run.correction())
    reached = np.sqrt(dot(left, metric.inner.riesz(left)))
    for i in range(3):
        a, r = (1 + MU["t"][i]) * problem.a, residual[i, 1:]
        root = la.cholesky(problem.x, lower=True)
        operator, start = la.solve_triangular(root, a, lower=True), la.solve_triangular(root, r, lower=True)
        operator = la.solve_triangular(root, operator.T, lower=True).T  # L⁻¹ A L⁻ᵀ
        space = [start]
        for _ in range(steps - 1):
            q, _ = np.linalg.qr(np.stack(space, axis=1))
            space.append(operator @ q[:, -1])
        q, _ = np.linalg.qr(np.stack(space, axis=1))
        y = np.linalg.lstsq(operator @ q, start, rcond=None)[0]
        smallest = np.linalg.norm(start - operator @ (q @ y))
        room = 1e-9 * np.linalg.norm(start)
        assert reached[i] <= smallest + room and abs(run.rho[i] - reached[i]) <= room


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["energy", "residual"])
def test_answers_meet_the_tolerance_and_their_bounds_hold(shape, kind):
    problem = RandomLinear(40, 1, shape, least=0.3)
    solver = RieszGMRES(constants=InfSupConstants())
    found = solver.solve(solver.prepare(problem), MU, stop=Tolerance(kind, 1e-6))
    u = exact(problem, MU)
    true = error(problem, MU, u, found.field, "gradient norm")
    assert found.converged.all() and (found.stats["iterations"] <= 41).all()
    if kind == "energy":
        assert (true <= found.stats["bound"]).all()
        assert (found.stats["bound"] <= 1.0001e-6 * (found.stats["norm"] - found.stats["bound"])).all()
    else:
        assert (found.stats["residual"] <= 1e-6).all() and (true <= 1e-4).all()


@pytest.mark.parametrize("restart", [5, 60])
def test_restarts_and_pieces_change_the_cost_only(restart):
    problem = AdvectionDiffusion(12, peclet=20.0)
    mu = problem.parameters.sample(range(5), 0)
    u = exact(problem, mu)
    solver = RieszGMRES(restart=restart, memory=1e5)
    found = solver.solve(solver.prepare(problem), mu, stop=Tolerance("energy", 1e-7))
    true = error(problem, mu, u, problem.space.flatten(found.field), "energy norm")
    assert found.converged.all() and (true <= found.stats["bound"]).all()
    assert (true <= 1e-7 * found.stats["norm"]).all()


def test_a_better_start_takes_fewer_steps_and_a_good_one_none():
    problem = Helmholtz(16, lowest=4.0, highest=8.0, modes=8)
    mu = problem.parameters.sample(range(4), 0)
    u = exact(problem, mu).astype(float)
    solver, noise = RieszGMRES(), np.random.default_rng(0).normal(size=u.shape)
    state, stop = solver.prepare(problem), Tolerance("energy", 1e-3)
    steps = [
        solver.solve(state, mu, problem.space.unflatten(u + size * noise * np.abs(u).max()), stop).stats["iterations"]
        for size in (0.1, 1e-3, 1e-9)
    ]
    assert (steps[0] > steps[1]).all() and (steps[2] == 0).all()


def test_steps_do_not_depend_on_the_grid_but_on_the_peclet_number():
    def steps(resolution, peclet):
        problem = AdvectionDiffusion(resolution, peclet=peclet, modes=2)
        solver = RieszGMRES()
        mu = problem.parameters.sample(range(2), 0)
        return solver.solve(solver.prepare(problem), mu, stop=Tolerance("energy", 1e-4)).stats["iterations"].max()

    assert steps(32, 10.0) <= steps(16, 10.0) + 1 < steps(16, 100.0)


def test_without_a_constant_there_is_no_bound_and_the_status_says_so():
    problem = AdvectionDiffusion(10, flow="uniform", boundary_type=("dirichlet", ("robin", "neumann")))
    solver, mu = RieszGMRES(), {"angle": np.array([-1.5, 0.7])}
    found = solver.solve(solver.prepare(problem), mu, stop=Tolerance("energy", 1e-3))
    assert found.status[0] == Status.FAILED and np.isinf(found.stats["bound"][0])
    by_residual = solver.solve(solver.prepare(problem), mu, stop=Tolerance("residual", 1e-6))
    assert by_residual.converged.all()


def test_a_sample_that_cannot_get_there_says_so():
    problem = RandomLinear(40, 0, "general", 0.3)
    solver = RieszGMRES(max_iterations=3, constants=SampledInfSup(0.3, 1))
    found = solver.solve(solver.prepare(problem), MU, stop=Tolerance("energy", 1e-6))
    assert (found.status == Status.MAX_ITERATIONS).all() and (found.stats["iterations"] == 3).all()
    assert np.isfinite(found.stats["bound"]).all()
    impossible = RieszGMRES(constants=SampledInfSup(0.3, 1)).solve(
        solver.prepare(problem), MU, stop=Tolerance("energy", 1e-17)
    )
    assert (impossible.status == Status.MAX_ITERATIONS).all() and (impossible.stats["bound"] > 0).all()


def test_what_does_not_suit_is_refused():
    with pytest.raises(InputError, match="no matrix of its energy product"):
        RieszGMRES(constants=SampledInfSup(1.0, 1)).prepare(DenseProblem())
    with pytest.raises(InputError, match="must be positive"):
        RieszGMRES(restart=0)
    with pytest.raises(InputError, match="x0"):
        problem = Darcy(4, modes=4)
        solver = RieszGMRES()
        start = np.full((1, 5, 5), np.nan)
        solver.solve(solver.prepare(problem), problem.parameters.sample(range(1), 0), start)


def test_complex_norms_are_those_of_both_parts():
    space = Helmholtz(6, boundary="absorbing", modes=4).space
    metric, rng = Metric.of(space), np.random.default_rng(0)
    r = rng.normal(size=(4, 49)) + 1j * rng.normal(size=(4, 49))
    x = metric.inner.apply(np.eye(49) + 0j).real
    true = np.sqrt(np.einsum("bi,ij,bj->b", r.conj(), np.linalg.inv(x), r).real)
    high, low = metric.dual_norm(r)
    assert (low <= true).all() and (true <= high).all()
    np.testing.assert_allclose(low, high, rtol=1e-9)
    assert metric.largest >= np.linalg.eigvalsh(x)[-1]
    assert isinstance(space, Grid)

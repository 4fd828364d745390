"""Conjugate gradients with a guaranteed bound, against dense solutions with a known spectrum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwidth.bounds.gauss_radau import GaussRadau
from nwidth.core.errors import InputError
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.base import BlackBox
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.testing.dense import DenseProblem

MU = {"t": np.array([0.0, 0.25, 0.5, 1.0])}


def solved(problem, stop, x0=None, **options):
    solver = RieszCG(**options)
    return solver.solve(solver.prepare(problem), MU, x0, stop)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 60),
    seed=st.integers(0, 10_000),
    contrast=st.floats(1.0, 1e4),
    rtol=st.sampled_from([1e-2, 1e-4, 1e-8]),
)
def test_energy_tolerance_is_met_and_the_bound_holds(size, seed, contrast, rtol):
    problem = DenseProblem(size=size, seed=seed, contrast=contrast)
    exact = problem.exact(MU)
    solution = solved(problem, Tolerance("energy", rtol))
    error = problem.energy_error(MU, exact, solution.field)
    assert solution.converged.all()
    assert (solution.stats["bound"] >= error).all()
    norm = problem.energy_error(MU, exact, problem.systems(MU).lift)
    assert (error <= rtol * norm).all()


def test_the_bound_holds_at_every_step_and_is_closer_than_that_of_the_residual():
    problem = DenseProblem(size=40, contrast=100.0, g=0.0)
    exact = problem.exact(MU)
    ratios = []
    for steps in range(1, 12):
        solution = solved(problem, Tolerance("energy", 1e-13), max_iterations=steps, restarts=1)
        error = problem.energy_error(MU, exact, solution.field)
        assert (solution.stats["bound"] >= error).all()
        ratios.append((solution.stats["bound"] / error).max())
    assert max(ratios) < 2.5  # the residual bound alone may be off by √100


def test_gauss_radau_recurrence_against_a_dense_quadrature():
    """γ̂_k ρ_k equals the Gauss-Radau rule of the spectral measure, formed densely from the Lanczos matrix."""
    rng = np.random.default_rng(1)
    d = np.geomspace(1.0, 30.0, 25)
    b = rng.normal(size=25)
    mu = 0.9
    radau = GaussRadau(np.array([mu / 0.999]))
    x, r = np.zeros(25), b.copy()
    p, rho = r.copy(), r @ r
    alphas, betas = [], []
    for _ in range(6):
        step = rho / (p @ (d * p))
        x, r = x + step * p, r - step * d * p
        new = r @ r
        radau.advance(np.array([step]), np.array([new / rho]))
        alphas.append(step)
        betas.append(new / rho)
        p, rho = r + new / rho * p, new
    k = len(alphas)
    diagonal = [1 / alphas[0]] + [1 / alphas[i] + betas[i - 1] / alphas[i - 1] for i in range(1, k)]
    off = [np.sqrt(betas[i]) / alphas[i] for i in range(k)]
    t = np.diag(diagonal) + np.diag(off[:-1], 1) + np.diag(off[:-1], -1)
    shifted = np.linalg.solve(t - mu * np.eye(k), np.eye(k)[:, -1] * off[-1] ** 2)
    extended = np.zeros((k + 1, k + 1))
    extended[:k, :k] = t
    extended[k, k] = mu + shifted[-1]
    extended[k - 1, k] = extended[k, k - 1] = off[-1]
    total = np.linalg.inv(extended)[0, 0] * (b @ b)  # Gauss-Radau upper bound of bᵀ A⁻¹ b
    spent = np.linalg.inv(t)[0, 0] * (b @ b)  # what k steps have already removed
    np.testing.assert_allclose(radau.factor[0] * rho, total - spent, rtol=1e-8)


def test_a_start_at_the_solution_costs_no_step_and_a_warm_start_fewer():
    problem = DenseProblem(size=80, contrast=1e3)
    exact = problem.exact(MU)
    stop = Tolerance("energy", 1e-6)
    assert (solved(problem, stop, exact).stats["iterations"] == 0).all()
    near = exact + 1e-3 * np.random.default_rng(0).normal(size=exact.shape) * (np.arange(81) > 0)
    assert (solved(problem, stop, near).stats["iterations"] < solved(problem, stop).stats["iterations"]).all()


def test_residual_tolerance_is_that_of_the_recomputed_residual():
    problem = DenseProblem(size=50, contrast=1e3)
    solution = solved(problem, Tolerance("residual", 1e-9))
    systems = problem.systems(MU)
    true = np.linalg.norm(systems.residual(solution.field), axis=1) / np.linalg.norm(systems.load, axis=1)
    np.testing.assert_allclose(solution.stats["residual"], true, rtol=1e-3)
    assert (true <= 1e-9).all()


def test_zero_load_is_solved_exactly_with_a_positive_bound():
    problem = DenseProblem(size=5, g=0.0, load=0.0)
    solution = solved(problem, Tolerance("energy", 1e-6))
    assert (solution.field == 0).all() and solution.converged.all() and (solution.stats["bound"] > 0).all()


def test_an_unreachable_tolerance_is_a_status_not_silence():
    problem = DenseProblem(size=40, contrast=1e6)
    solution = solved(problem, Tolerance("energy", 1e-16))
    assert (solution.status == Status.MAX_ITERATIONS).all()
    assert (solution.stats["bound"] >= problem.energy_error(MU, problem.exact(MU), solution.field)).all()


def test_the_answer_does_not_depend_on_the_company_in_the_batch():
    problem = DenseProblem(size=30, contrast=1e2)
    together = solved(problem, Tolerance("energy", 1e-6))
    solver = RieszCG()
    alone = solver.solve(solver.prepare(problem), {"t": MU["t"][2:3]}, None, Tolerance("energy", 1e-6))
    np.testing.assert_allclose(together.field[2], alone.field[0], rtol=1e-5)
    assert together.stats["iterations"][2] == alone.stats["iterations"][0]


def test_problems_without_a_stability_constant_are_refused_with_the_way_out():
    class Own(BlackBox):
        parameters = space = None

        def solve(self, mu):
            return mu

    with pytest.raises(InputError, match="Stable"):
        RieszCG().prepare(Own())


def test_a_start_that_is_not_finite_is_named():
    start = np.zeros((4, 13))
    start[2, 3] = np.nan
    with pytest.raises(InputError, match="row 2"):
        solved(DenseProblem(), Tolerance("energy", 1e-3), start)


@pytest.mark.parametrize("together", [1, 3, None])
def test_the_answer_does_not_depend_on_how_many_samples_iterate_together(together):
    problem, stop = DenseProblem(size=30, seed=2, contrast=50.0), Tolerance("energy", 1e-6)
    whole, parts = solved(problem, stop), solved(problem, stop, together=together)
    assert np.array_equal(whole.stats["iterations"], parts.stats["iterations"])
    # products of another batch size round differently, and conjugate gradients amplify that, below the tolerance
    assert parts.field == pytest.approx(whole.field, rel=0, abs=1e-6)

"""Upper and lower bounds of conjugate gradients at every step, against extended precision: they are to be broken."""

import numpy as np
import pytest
import scipy.linalg as la
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.solvers.exact_cases import Exact

from nwidth.core.solution import Status, Tolerance
from nwidth.problems.darcy import Darcy
from nwidth.solvers import riesz_cg
from nwidth.solvers.deflation import DeflatedCG
from nwidth.solvers.riesz_cg import RieszCG, expected_steps
from nwidth.testing.dense import DenseProblem

MU = {"t": np.array([0.0, 0.4, 1.0])}
NEVER = Tolerance("energy", 1e-16)
START = st.sampled_from([0.0, 1e-14, 1e-6, 1.0, 1e8, 1e120])


def starts(exact, seed, size):
    noise = size * np.random.default_rng(seed).normal(size=exact.u.shape) * exact.free
    return (exact.u + noise).astype(np.float64)


def bounded(solution, exact):
    """Whether the error of every sample lies between its bounds, which are never zero, NaN or infinite."""
    error, bound, lower = exact.error(solution.field), solution.stats["bound"], solution.stats["lower"]
    return (lower <= error).all() and (error <= bound).all() and (bound > 0).all() and np.isfinite(bound).all()


@settings(max_examples=16, deadline=None)
@given(
    size=st.integers(1, 200),
    seed=st.integers(0, 10_000),
    contrast=st.floats(1.0, 1e6),
    far=START,
    steps=st.sampled_from([0, 1, 2, 3, 5, 8, 13, 40, 150]),
)
def test_bounds_hold_at_every_step(size, seed, contrast, far, steps):
    problem = DenseProblem(size=size, seed=seed, contrast=contrast)
    exact, solver = Exact(problem, MU), RieszCG(max_iterations=steps, restarts=1)
    solution = solver.solve(solver.prepare(problem), MU, starts(exact, seed, far), NEVER)
    assert bounded(solution, exact)


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(2, 60),
    seed=st.integers(0, 10_000),
    contrast=st.floats(1.0, 1e6),
    modes=st.integers(1, 12),
    steps=st.sampled_from([0, 1, 3, 8, 40]),
)
def test_bounds_hold_beside_a_basis(size, seed, contrast, modes, steps):
    problem, rng = DenseProblem(size=size, seed=seed, contrast=contrast), np.random.default_rng(seed)
    exact = Exact(problem, MU)
    basis = np.concatenate([rng.normal(size=(modes, size + 1)), exact.u[:1].astype(np.float64)])
    solver = DeflatedCG(modes=basis, max_iterations=steps, restarts=1)
    assert bounded(solver.solve(solver.prepare(problem), MU, starts(exact, seed, 1.0), NEVER), exact)


@pytest.mark.parametrize("case", [("two-valued", 1.0), ("log-normal", 3.0)])
def test_bounds_hold_on_a_grid_where_the_effectivity_shrinks(case):
    law, sigma = case
    problem = Darcy(16, law=law, sigma=sigma)
    mu = problem.parameters.sample(range(4), 5)
    exact, ratios = Exact(problem, mu), []
    for steps in range(6):
        solver = RieszCG(max_iterations=steps, restarts=1)
        solution = solver.solve(solver.prepare(problem), mu, None, NEVER)
        assert bounded(solution, exact)
        ratios.append(solution.stats["bound"] / exact.error(solution.field))
    constants = problem.constant(mu)
    assert (ratios[0] <= np.sqrt(constants.upper / constants.lower)).all()
    if law == "two-valued":
        assert ratios[0].max() < 1.3 and ratios[3].max() < 1.1


def test_at_both_ends_of_the_spectrum_the_first_bound_is_the_error():
    """e in the softest and the hardest direction: the chord is exact, and a constant that is off by little shows."""
    problem = DenseProblem(size=30, contrast=50.0)
    exact, solver = Exact(problem, MU), RieszCG(max_iterations=0, restarts=1)
    a = problem.assemble({"t": np.zeros(1)}).matrix.toarray()[1:, 1:]
    vectors = la.eigh(a, problem.space.inner("energy").apply(np.eye(31))[1:, 1:])[1]
    start = exact.u.astype(np.float64)
    start[:, 1:] += vectors[:, 0] + 0.2 * vectors[:, -1]
    solution = solver.solve(solver.prepare(problem), MU, start, NEVER)
    error = exact.error(solution.field)
    assert bounded(solution, exact) and (error > 0.5).all()
    np.testing.assert_allclose(solution.stats["bound"], error, rtol=1e-6)


def test_without_a_load_or_with_a_tiny_one_the_bound_holds():
    for load in (0.0, 1e-160, 1e-290):
        problem = DenseProblem(size=9, g=0.0, load=load)
        exact, solver = Exact(problem, MU), RieszCG(max_iterations=3, restarts=1)
        assert bounded(solver.solve(solver.prepare(problem), MU, None, NEVER), exact)


def test_a_residual_that_has_drifted_is_counted():
    """From a huge start the recursive residual goes on falling where the true one has met rounding."""
    problem = DenseProblem(size=40, contrast=20.0)
    exact = Exact(problem, MU)
    for steps in (40, 80, 160):
        solver = RieszCG(max_iterations=steps, restarts=1)
        solution = solver.solve(solver.prepare(problem), MU, starts(exact, 0, 1e10), Tolerance("energy", 1e-30))
        assert bounded(solution, exact) and (exact.error(solution.field) > 1e-9).all()


def test_a_riesz_map_that_is_not_exact_is_noticed(monkeypatch):
    problem = DenseProblem(size=30, contrast=20.0)
    exact, state = Exact(problem, MU), RieszCG().prepare(problem)
    weights = np.concatenate([[0.0], np.geomspace(0.2, 1.0, 30)])
    inverse = state.inner.riesz
    monkeypatch.setattr(state.inner, "riesz", lambda r: weights * inverse(weights * r))  # symmetric, but not X⁻¹
    for steps in (0, 2, 5, 20):
        assert bounded(RieszCG(max_iterations=steps, restarts=1).solve(state, MU, None, NEVER), exact)


def test_the_clock_stops_it_and_what_is_reached_is_bounded(monkeypatch):
    problem = DenseProblem(size=80, contrast=1e4)
    exact, solver, clock = Exact(problem, MU), RieszCG(together=1), Clock()
    monkeypatch.setattr(riesz_cg, "perf_counter", clock)
    monkeypatch.setattr("nwidth.solvers.timed.perf_counter", clock)
    state, stop = solver.prepare(problem), Tolerance("energy", 1e-6)
    before = np.full(3, np.inf)
    for ends in (0.0, 30.0, 60.0, 120.0, 1e6):
        clock.now = 0.0
        solution = solver.solve_until(state, MU, None, stop, ends)
        assert bounded(solution, exact) and (solution.stats["bound"] <= before).all()
        before = solution.stats["bound"]
        if ends == 60.0:  # each of three samples has had its share
            assert np.ptp(solution.stats["iterations"]) <= 8 and (solution.status == Status.MAX_ITERATIONS).all()
    assert solution.converged.all()


class Clock:
    """One second for every look at it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_the_steps_are_foreseen():
    problem = Darcy(32)
    mu = problem.parameters.sample(range(6), 0)
    solver = RieszCG()
    state = solver.prepare(problem)
    solution = solver.solve(state, mu, None, Tolerance("energy", 1e-5))
    assert np.abs(expected_steps(np.full(6, 4.0), np.full(6, 1e5)) - solution.stats["iterations"]).max() <= 2
    patient = RieszCG(patience=3).solve(state, mu, None, Tolerance("energy", 1e-5))
    assert (patient.stats["iterations"] == 0).all() and not patient.converged.any()
    assert (RieszCG(patience=30).solve(state, mu, None, Tolerance("energy", 1e-5)).converged).all()

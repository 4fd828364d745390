"""The residual bound and its round-off term against dense and extended-precision references."""

import numpy as np
import pytest
import scipy.linalg as la
from hypothesis import given, settings
from hypothesis import strategies as st

from nwidth.bounds.residual import dual_norm_upper, energy_bounds, reference_norm, relative_bound
from nwidth.problems.base import Stability
from nwidth.testing.dense import DenseProblem

MU = {"t": np.array([0.0, 0.3, 1.0])}


def bounds_of(problem, v, stability=None):
    inner = problem.space.inner("energy")
    return energy_bounds(problem.systems(MU), v, inner, stability or problem.constant(MU))


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    contrast=st.floats(1.0, 1e6),
    log_scale=st.floats(-14, 6),
)
def test_bound_holds_and_effectivity_stays_within_theory(size, seed, contrast, log_scale):
    problem = DenseProblem(size=size, seed=seed, contrast=contrast)
    exact = problem.exact(MU)
    noise = np.random.default_rng(seed).normal(size=exact.shape)
    noise[:, 0] = 0.0
    v = exact + 10.0**log_scale * noise
    error = problem.energy_error(MU, exact, v)
    found = bounds_of(problem, v)
    assert (found.upper >= error).all()
    assert (found.lower <= (1 + 1e-9) * error + found.floor).all()  # the reference is a float64 solve
    assert (found.upper > 0).all() and np.isfinite(found.upper).all()
    # the chord: half of √κ, and never more than that above the lower bound (Kantorovich)
    kantorovich = (contrast + 1) / (2 * np.sqrt(contrast))
    assert (found.upper - 3 * found.floor <= 1.001 * kantorovich * error).all()
    assert (found.upper - 5 * found.floor * kantorovich <= 1.001 * kantorovich * found.lower).all()


def test_bound_of_the_solution_itself_is_small_and_not_zero():
    problem = DenseProblem(size=30, contrast=100.0)
    found = bounds_of(problem, problem.exact(MU))
    norm = reference_norm(problem.systems(MU), problem.exact(MU))
    assert (found.upper > 0).all()
    assert (found.upper < 1e-11 * norm).all()


def test_bound_is_attained_in_the_softest_direction():
    """With the error along the eigenvector of α the bound is an equality: a factor too small or large shows."""
    problem = DenseProblem(size=10, contrast=50.0)
    exact, inner = problem.exact(MU), problem.space.inner("energy")
    a = problem.assemble({"t": np.zeros(1)}).matrix.toarray()[1:, 1:]
    x = inner.apply(np.eye(11))[1:, 1:]
    vector = np.linalg.eig(np.linalg.solve(x, a))
    soft = np.real(vector.eigenvectors[:, np.argmin(vector.eigenvalues.real)])
    error = np.zeros_like(exact)
    error[:, 1:] = soft
    found = bounds_of(problem, exact + error)
    np.testing.assert_allclose(found.upper, problem.energy_error(MU, exact, exact + error), rtol=1e-6)


def soft_direction(problem):
    """The eigenvector of X⁻¹A at the smallest eigenvalue, `(n,)`."""
    a = problem.assemble({"t": np.zeros(1)}).matrix.toarray()[1:, 1:]
    x = problem.space.inner("energy").apply(np.eye(len(a) + 1))[1:, 1:]
    return la.eigh(a, x)[1][:, 0]


@pytest.mark.parametrize("factor", [1.001, 4.0])
def test_a_constant_that_is_too_large_is_disproved_where_it_shows(factor):
    """Along the eigenvector of the smallest eigenvalue the quotient of the representer is that eigenvalue."""
    problem = DenseProblem(size=10, contrast=50.0)
    known, exact = problem.constant(MU), problem.exact(MU)
    error = np.zeros_like(exact)
    error[:, 1:] = soft_direction(problem)
    for wrong in (Stability(factor * known.lower, known.upper), Stability(known.lower, known.upper / 50 / factor)):
        found = bounds_of(problem, exact + error, wrong)
        assert found.disproved.all() and np.isinf(found.upper).all() and (found.lower == 0).all()
    assert not bounds_of(problem, exact + error).disproved.any()


def test_a_constant_that_is_too_large_gives_no_bound_where_it_does_not_show():
    """The price of a false constant: the chord from 4 α on is below the error of a mixture, and no quotient tells."""
    problem = DenseProblem(size=2, contrast=50.0)
    a = problem.assemble({"t": np.zeros(1)}).matrix.toarray()[1:, 1:]
    x = problem.space.inner("energy").apply(np.eye(3))[1:, 1:]
    vectors = la.eigh(a, x)[1]
    one = {"t": np.zeros(1)}
    exact, known = problem.exact(one), problem.constant(one)
    error = np.zeros_like(exact)
    error[:, 1:] = np.linalg.solve(a, x @ (vectors[:, 0] + vectors[:, 1]))
    wrong = Stability(4 * known.lower, known.upper)
    found = energy_bounds(problem.systems(one), exact + error, problem.space.inner("energy"), wrong)
    assert not found.disproved.any() and (found.upper < problem.energy_error(one, exact, exact + error)).all()


def test_dual_norm_is_an_upper_bound_for_an_inexact_riesz_map():
    problem = DenseProblem(size=20)
    inner = problem.space.inner("energy")
    r = np.random.default_rng(0).normal(size=(5, 21))
    r[:, 0] = 0
    exact = inner.dual_norm(r)
    sloppy = type(inner)(inner._x, inner._free)
    sloppy._inverse = inner._inverse * 0.7
    assert (dual_norm_upper(sloppy, r) >= exact).all()
    np.testing.assert_allclose(dual_norm_upper(inner, r), exact, rtol=1e-10)


@pytest.mark.parametrize("factor", [0.7, 0.99, 1.3])
@pytest.mark.parametrize("contrast", [1.0 + 1e-6, 4.0])
def test_a_sloppy_riesz_map_costs_sharpness_and_nothing_else(factor, contrast):
    problem = DenseProblem(size=20, contrast=contrast)
    sloppy = problem.space.inner("energy")
    sloppy._inverse = factor * sloppy._inverse
    exact = problem.exact(MU)
    v = exact + np.where(problem.space.free, np.random.default_rng(0).normal(size=exact.shape), 0.0)
    error = problem.energy_error(MU, exact, v)
    found = energy_bounds(problem.systems(MU), v, sloppy, problem.constant(MU))
    assert (found.lower <= error * (1 + 1e-9)).all() and (error <= found.upper * (1 + 1e-9)).all()
    assert not found.disproved.any()


def test_bound_near_the_floor_against_extended_precision():
    """Perturbations of 1e-16: the float64 residual is noise, the bound must still cover the true error."""
    problem = DenseProblem(size=15, contrast=1e4)
    t = np.zeros(1)
    system = problem.assemble({"t": t})
    a = system.matrix.toarray()[1:, 1:].astype(np.longdouble)
    f = system.load[1:].astype(np.longdouble)
    w = np.linalg.solve(a.astype(float), f.astype(float)).astype(np.longdouble)
    for _ in range(6):  # iterative refinement with residuals in extended precision
        w = w + np.linalg.solve(a.astype(float), (f - a @ w).astype(float))
    for seed in range(50):
        noise = np.random.default_rng(seed).normal(size=15) * 10.0 ** np.random.default_rng(seed).uniform(-17, -13)
        v = np.concatenate([[problem.g], (w + noise).astype(float)])[None]
        e = w - v[0, 1:].astype(np.longdouble)
        error = float(np.sqrt(e @ a @ e))
        inner = problem.space.inner("energy")
        found = energy_bounds(problem.systems({"t": t}), v, inner, problem.constant({"t": t}))
        assert found.upper[0] >= error


def test_prescribed_values_are_imposed_bit_for_bit():
    problem = DenseProblem()
    systems = problem.systems(MU)
    v = systems.impose(np.full((3, 13), 7.0))
    assert (v[:, 0] == problem.g).all() and (v[:, 1:] == 7.0).all()


def test_relative_bound_is_infinite_where_the_bound_exceeds_the_norm():
    np.testing.assert_array_equal(
        relative_bound(np.array([1.0, 2.0, 0.5]), np.array([1.0, 1.0, 1.0])), [np.inf, np.inf, 1]
    )


@pytest.mark.parametrize("level", [0.0, 300.0])
def test_reference_norm_is_not_watered_down_by_the_lift(level):
    problem = DenseProblem(g=level)
    systems, exact = problem.systems(MU), problem.exact(MU)
    w = exact - systems.lift
    own = np.sqrt(np.einsum("bn,bn->b", w, systems.apply(w)))
    assert (reference_norm(systems, exact) <= own).all()

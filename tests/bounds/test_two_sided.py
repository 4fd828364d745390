"""Bounds of an error from both sides, against extended precision, for fields of every size."""

import numpy as np
import pytest
import scipy.linalg as la
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.solvers.exact_cases import Exact

from nwidth.bounds.residual import energy_bounds, round_off
from nwidth.bounds.two_sided import direction_lower, error_after, error_before, stepped_upper
from nwidth.problems.darcy import Darcy
from nwidth.testing.dense import DenseProblem

MU = {"t": np.array([0.0, 0.4, 1.0])}
SIZES = st.sampled_from([0.0, 1e-15, 1e-9, 1e-3, 1.0, 1e6, 1e12, 1e120])


def fields_near(exact, rng, size):
    """The solution with noise of some size, on the free dofs."""
    noise = size * rng.normal(size=exact.u.shape) * exact.free
    return (exact.u + noise).astype(np.float64)


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 60), seed=st.integers(0, 10_000), contrast=st.floats(1.0, 1e6), far=SIZES, near=SIZES)
def test_the_error_before_lies_between_its_bounds(size, seed, contrast, far, near):
    problem, rng = DenseProblem(size=size, seed=seed, contrast=contrast), np.random.default_rng(seed)
    exact, systems = Exact(problem, MU), problem.systems(MU)
    start, better = fields_near(exact, rng, far), fields_near(exact, rng, near)
    known = energy_bounds(systems, better, problem.space.inner("energy"), problem.constant(MU))
    low, high = error_before(systems, start, better, known.lower, known.upper)
    error = exact.error(start)
    assert (low <= error).all() and (error <= high).all()
    assert np.isfinite(low).all() and not np.isnan(high).any()


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 60), seed=st.integers(0, 10_000), contrast=st.floats(1.0, 1e6), far=SIZES)
def test_no_direction_promises_more_than_the_error(size, seed, contrast, far):
    problem, rng = DenseProblem(size=size, seed=seed, contrast=contrast), np.random.default_rng(seed)
    exact, systems, inner = Exact(problem, MU), problem.systems(MU), problem.space.inner("energy")
    v = fields_near(exact, rng, far)
    r, lower = systems.residual(v), problem.constant(MU).lower
    noise, error = round_off(systems, v, inner), exact.error(v)
    # the direction to the solution is the one that tells all
    for p in (inner.riesz(r), rng.normal(size=v.shape) * exact.free, (exact.u - v).astype(np.float64), 0.0 * v):
        found = direction_lower(systems, r, p, systems.apply(p), noise, lower)
        assert (found >= 0).all() and (found <= error).all()


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 60), seed=st.integers(0, 10_000), contrast=st.floats(1.0, 1e6), far=SIZES, near=SIZES)
def test_the_error_after_is_bounded_by_that_before(size, seed, contrast, far, near):
    problem, rng = DenseProblem(size=size, seed=seed, contrast=contrast), np.random.default_rng(seed)
    exact, systems = Exact(problem, MU), problem.systems(MU)
    start, better = fields_near(exact, rng, far), fields_near(exact, rng, near)
    known = energy_bounds(systems, start, problem.space.inner("energy"), problem.constant(MU)).upper
    error = exact.error(better)
    for upper in (known, exact.error(start) * (1 + 1e-12)):
        assert (error_after(systems, start, better, upper) >= error).all()


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 60), seed=st.integers(0, 10_000), contrast=st.floats(1.0, 1e6), far=SIZES)
def test_one_step_ahead_no_direction_promises_less_than_the_error(size, seed, contrast, far):
    problem, rng = DenseProblem(size=size, seed=seed, contrast=contrast), np.random.default_rng(seed)
    exact, systems, inner = Exact(problem, MU), problem.systems(MU), problem.space.inner("energy")
    v, constants = fields_near(exact, rng, far), problem.constant(MU)
    r, noise, error = systems.residual(v), round_off(systems, v, inner), exact.error(v)
    for p in (inner.riesz(r), rng.normal(size=v.shape) * exact.free, (exact.u - v).astype(np.float64), 0.0 * v):
        found = stepped_upper(systems, inner, constants, r, p, systems.apply(p), noise)
        assert (found >= error).all() and (found > 0).all()


def test_one_step_ahead_is_exact_where_the_step_leaves_the_softest_direction():
    """e = s + p, A-orthogonal, s the eigenvector of α: what is left of the step has its own error as the bound."""
    problem = DenseProblem(size=20, contrast=50.0)
    exact, systems, inner = Exact(problem, MU), problem.systems(MU), problem.space.inner("energy")
    a = problem.assemble({"t": np.zeros(1)}).matrix.toarray()[1:, 1:]
    vectors = la.eigh(a, inner.apply(np.eye(21))[1:, 1:])[1]
    soft, p = (np.concatenate([[0.0], part])[None].repeat(3, axis=0) for part in (vectors[:, 0], vectors[:, 7]))
    v = (exact.u + soft - 0.3 * p).astype(np.float64)
    found = stepped_upper(systems, inner, problem.constant(MU), systems.residual(v), p, systems.apply(p), np.zeros(3))
    np.testing.assert_allclose(found, exact.error(v), rtol=1e-6)
    after = error_after(systems, v, v + 0.3 * p, exact.error(v))
    np.testing.assert_allclose(after, exact.error(v + 0.3 * p), rtol=1e-6)


def test_the_direction_to_the_solution_tells_all():
    problem = DenseProblem(size=30, contrast=1e3)
    exact, systems = Exact(problem, MU), problem.systems(MU)
    v = fields_near(exact, np.random.default_rng(0), 1e-2)
    p = (exact.u - v).astype(np.float64)
    found = direction_lower(systems, systems.residual(v), p, systems.apply(p), np.zeros(3), problem.constant(MU).lower)
    np.testing.assert_allclose(found, exact.error(v), rtol=1e-9)


def test_a_better_field_tells_the_error_to_as_many_digits_as_it_has():
    problem = DenseProblem(size=30, contrast=1e3)
    exact, systems, rng = Exact(problem, MU), problem.systems(MU), np.random.default_rng(1)
    start, better = fields_near(exact, rng, 1e-2), fields_near(exact, rng, 1e-6)
    known = energy_bounds(systems, better, problem.space.inner("energy"), problem.constant(MU))
    low, high = error_before(systems, start, better, known.lower, known.upper)
    np.testing.assert_allclose(low, exact.error(start), rtol=1e-5)
    np.testing.assert_allclose(high, exact.error(start), rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_on_a_grid_without_a_matrix(sigma):
    problem = Darcy(12, law="log-normal", sigma=sigma)
    mu = problem.parameters.sample(range(4), 3)
    exact, systems = Exact(problem, mu), problem.systems(mu)
    start = fields_near(exact, np.random.default_rng(2), 1e-3)
    known = energy_bounds(systems, start, problem.space.inner("energy"), problem.constant(mu))
    better = exact.u.astype(np.float64)
    inner = energy_bounds(systems, better, problem.space.inner("energy"), problem.constant(mu))
    low, high = error_before(systems, start, better, inner.lower, inner.upper)
    error = exact.error(start)
    assert (known.lower <= error).all() and (error <= known.upper).all()
    np.testing.assert_allclose(low, error, rtol=1e-9)
    np.testing.assert_allclose(high, error, rtol=1e-9)
    assert (low <= error).all() and (error <= high).all()

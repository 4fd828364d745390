"""Bounds of an error from both sides, against extended precision, for fields of every size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.solvers.exact_cases import Exact

from nwidth.bounds.residual import energy_bounds, round_off
from nwidth.bounds.two_sided import direction_lower, error_before
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

"""Comparison of coefficients against dense eigenvalues, and as a value that is stored."""

import numpy as np
import scipy.linalg as sla

import nwidth as nw
from nwidth.problems.min_theta import MinTheta
from nwidth.problems.thermal_block import ThermalBlock


def test_the_constants_are_those_of_the_dense_eigenvalue_problem_or_safer():
    problem = ThermalBlock(2, 6)
    mu = problem.parameters.sample(range(5), 0)
    theta, _ = problem.coefficients(mu)
    stability = problem.stability.constants(theta)
    terms = problem.terms()
    dense = [a.toarray()[np.ix_(terms.free, terms.free)] for a in terms.matrices]
    for i, row in enumerate(theta):
        values = sla.eigh(sum(t * a for t, a in zip(row, dense, strict=True)), sum(dense), eigvals_only=True)
        assert stability.lower[i] <= values[0] <= 1.0001 * row.min()
        assert stability.upper[i] >= values[-1] >= 0.9999 * row.max()
    assert (stability.lower > 0.999 * theta.min(axis=1)).all()


def test_it_depends_on_the_coefficients_alone_and_is_stored(tmp_path):
    stability = MinTheta(np.array([1.0, 2.0, 0.5]), 1e-9)
    theta = np.array([[1.0, 2.0, 0.5], [0.1, 4.0, 0.5], [1.0, 2.0, -0.5]])
    found = stability.constants(theta)
    np.testing.assert_allclose(found.lower, [1.0, 0.1, -1.0], atol=1e-8)
    np.testing.assert_allclose(found.upper, [1.0, 2.0, 1.0], atol=1e-8)
    assert (found.lower < theta.min(axis=1) / 0.5).all() and found.proven
    nw.save(stability, tmp_path / "s.nwidth")
    again = nw.load(tmp_path / "s.nwidth")
    np.testing.assert_array_equal(again.constants(theta).lower, found.lower)

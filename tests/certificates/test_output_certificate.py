"""The factor of the dual problem in limits of outputs, against a dense evaluation of its definition."""

import numpy as np
import pytest
from tests.rb.affine_cases import Random

import nwidth as nw
from nwidth.certificates.outputs import OutputCertificate


@pytest.mark.parametrize("name", ["compliant", "other"])
def test_the_dual_factor_is_the_dense_norm_of_the_dual_residual_over_the_root_of_the_constant(name):
    """One training query, so that the dual basis is A(mu_1)⁻¹ l; Galerkin in it, `‖l - A z‖_{X⁻¹} / √α`."""
    problem = Random(size=18, terms=3, loads=1, seed=2, spread=10.0)
    reduced = nw.rb.Greedy(tol=None, max_size=2, training=20).fit(problem=problem)
    first, mu = problem.parameters.sample(range(1), 5), problem.parameters.sample(range(12), 6)
    certificate = OutputCertificate.build(reduced, tol=None, max_size=1, training=first)
    theta, alpha = problem.coefficients(mu)[0], problem.constant(mu).lower
    coefficients = np.ascontiguousarray(reduced.predict(mu).values.coefficients)
    _, found = certificate.duals[name].solve(theta, coefficients, alpha)

    free = problem.terms().free
    terms = np.stack([a.toarray()[np.ix_(free, free)] for a in problem.terms().matrices])
    functional, x = problem.quantities()[name].functional[free], terms.sum(axis=0)
    mode = np.linalg.solve(np.tensordot(problem.coefficients(first)[0][0], terms, 1), functional)
    for i, matrix in enumerate(np.tensordot(theta, terms, 1)):
        rest = functional - (functional @ mode) / (mode @ matrix @ mode) * (matrix @ mode)
        assert found[i] == pytest.approx(np.sqrt(rest @ np.linalg.solve(x, rest) / alpha[i]), rel=1e-6)
    assert found.min() > 1e-3

"""Affine problems with formulas as coefficients."""

import numpy as np
import pytest
from tests.rb.affine_cases import Random

from nwidth.core.errors import InputError
from nwidth.core.expressions import Expression
from nwidth.core.programs import run
from nwidth.problems.formulas import Formulas
from nwidth.spaces.box import Box


class Written(Formulas):
    """The random problem with coefficients in two parameters."""

    def __init__(self, theta, phi, names=("k", "h")):
        self._inner = Random(size=6, terms=len(theta), loads=len(phi))
        self._theta, self._phi, self._box = theta, phi, Box(names, 0.5, 2.0)

    parameters = property(lambda self: self._box)
    space = property(lambda self: self._inner.space)

    def terms(self):
        return self._inner.terms()

    def formulas(self):
        return tuple(tuple(Expression.parse(t, self._box.names) for t in texts) for texts in (self._theta, self._phi))


def test_coefficients_are_the_formulas_at_the_parameters():
    problem = Written(["1", "k * h", "exp(k)"], ["h - 1", "2"])
    mu = problem.parameters.sample(range(9), 0)
    theta, phi = problem.coefficients(mu)
    np.testing.assert_allclose(theta, np.stack([np.ones(9), mu["k"] * mu["h"], np.exp(mu["k"])], axis=1), rtol=1e-15)
    np.testing.assert_allclose(phi, np.stack([mu["h"] - 1, np.full(9, 2.0)], axis=1), rtol=1e-15)
    assert theta.flags.c_contiguous and phi.flags.c_contiguous
    one = problem.coefficients({name: values[3:4] for name, values in mu.items()})
    np.testing.assert_array_equal(one[0], theta[3:4])


def test_the_order_of_the_mapping_does_not_matter():
    problem = Written(["k", "h"], ["1"])
    theta, _ = problem.coefficients({"h": np.array([3]), "k": np.array([2])})
    np.testing.assert_array_equal(theta, [[2.0, 3.0]])


def test_programs_serve_other_kernels():
    problem = Written(["k", "h", "k + h"], ["1"])
    out = np.empty((1, 3))
    assert run(problem.compiled.theta_program, np.array([[1.0, 2.0]]), out) == -1
    np.testing.assert_array_equal(out, [[1.0, 2.0, 3.0]])


def test_no_finite_coefficient_no_answer():
    problem = Written(["1", "log(k)"], ["1 / h"])
    with pytest.raises(InputError, match=r"θ_1 = log\(k\) is nan in row 1 \(k = -1\)"):
        problem.coefficients({"k": np.array([1.0, -1.0]), "h": np.ones(2)})
    with pytest.raises(InputError, match=r"φ_0 = 1 / h is inf in row 0 \(h = 0\)"):
        problem.coefficients({"k": np.ones(2), "h": np.array([0.0, 1.0])})
    with pytest.raises(InputError, match="is nan in row 0"):
        problem.coefficients({"k": np.array([np.nan]), "h": np.ones(1)})


@pytest.mark.parametrize("bad", [np.ones((2, 1)), np.ones(2) * 1j, np.array(["a", "b"])])
def test_other_parameters_are_refused(bad):
    with pytest.raises(InputError, match="one real number per query"):
        Written(["k"], ["h"]).coefficients({"k": bad, "h": np.ones(2)})

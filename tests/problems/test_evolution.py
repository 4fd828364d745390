"""What problems in time share, and the documentation's equation of one's own."""

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from nwidth.core.errors import InputError
from nwidth.problems.evolution import Marching, Semilinear, checked_times, subsampled
from nwidth.solvers._implicit_steps import Equation
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evolution.md"


def test_the_equation_of_the_documentation_runs_and_is_chaotic():
    pytest.importorskip("torch")
    found = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1), found)
    runs = found["runs"]
    fields = np.asarray(runs.fields)
    assert fields.shape == (4, 41, 256)
    assert (np.asarray(runs.status) == 1).all()
    np.testing.assert_array_equal(fields[:, 0], np.asarray(runs.mu["u0"]))
    # waves on the attractor have a mean square near 1.7, and the mean stays where it was
    assert 0.5 < (fields[:, -1] ** 2).mean() < 3.0
    np.testing.assert_allclose(fields.mean(axis=2), fields[:, :1].mean(axis=2).repeat(41, 1), atol=1e-10)


def test_thinning_out():
    fields = np.arange(2 * 12 * 6).reshape(2, 12, 6)
    np.testing.assert_array_equal(subsampled(fields, (4, 3)), fields[:, ::3, ::2])
    assert subsampled(fields, (12, 6)).base is fields or subsampled(fields, (12, 6)).shape == fields.shape
    with pytest.raises(InputError, match="cannot be thinned out"):
        subsampled(fields, (5, 3))


def test_times_are_checked():
    np.testing.assert_array_equal(checked_times(np.array([0, 2]), "x"), [0.0, 2.0])
    for times in ([1.0, 1.0], [-0.1, 1.0], [np.nan], []):
        with pytest.raises(InputError, match="increasing finite times"):
            checked_times(np.array(times), "x")


def test_a_semilinear_problem_needs_a_torus():
    class Wrong(Semilinear):
        parameters = Box(("a",), low=(0.0,), high=(1.0,))
        space = Grid((4,))
        times = np.ones(1)

        def start(self, mu):
            return np.zeros((1, 4))

        def terms(self, k):
            raise AssertionError("never asked")

    with pytest.raises(InputError, match="lives on a Torus"):
        _ = Wrong().grid


def test_matrices_must_fit_together():
    one, two = sp.csr_array(sp.eye_array(3)), sp.csr_array(sp.eye_array(4))
    with pytest.raises(InputError, match="do not fit together"):
        Equation([Marching(one, two, np.ones(3, dtype=bool))])
    with pytest.raises(InputError, match="operator matrix holds values that are not finite"):
        Equation([Marching(one, one * np.nan, np.ones(3, dtype=bool))])


def test_patterns_of_both_matrices_are_joined():
    """Entries that only one matrix has, repeated entries, and free dofs in the middle."""
    mass = sp.csr_array(sp.coo_array(([1.0, 2.0, 3.0, 4.0], ([0, 1, 2, 3], [0, 1, 2, 3])), shape=(4, 4)))
    operator = sp.csr_array(np.array([[0, 5.0, 0, 0], [0, 6, 0, 7], [0, 0, 0, 0], [8, 0, 9, -3]]))
    free = np.array([False, True, True, True])
    equation = Equation([Marching(mass, operator, free, definite=False)])
    dense = mass.toarray() + 0.5 * operator.toarray()
    combined = equation.combined(0.5)
    np.testing.assert_array_equal(combined.toarray(), dense)
    inner = equation.pattern.matrix(equation.inner(combined))
    np.testing.assert_array_equal(inner.toarray(), dense[1:, 1:])

"""GMRES where relative bounds are infinite for long, and where there is nothing to solve."""

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.solution import Tolerance
from nwidth.problems.base import Linear
from nwidth.solvers.gmres import RieszGMRES

STOP = Tolerance("energy", 1e-4)


def test_restarts_go_on_while_only_the_absolute_bound_falls():
    problem = nw.problems.get("advection_diffusion", resolution=32, peclet=200.0)
    mu = problem.parameters.sample(range(2), 0)
    long, short = RieszGMRES(), RieszGMRES(restart=5)
    state = long.prepare(problem)
    whole, pieces = long.solve(state, mu, None, STOP), short.solve(state, mu, None, STOP)
    assert whole.converged.all() and pieces.converged.all()
    np.testing.assert_allclose(pieces.field, whole.field, atol=1e-3 * np.abs(whole.field).max())
    begun = RieszGMRES(restart=5, max_iterations=5).solve(state, mu, None, STOP)
    start = RieszGMRES(max_iterations=1, restart=1).solve(state, mu, None, STOP)
    assert (begun.stats["bound"] < start.stats["bound"]).all()  # the better field is kept


@pytest.mark.parametrize("name", ["advection_diffusion", "helmholtz"])
def test_an_empty_batch_is_empty(name):
    problem = nw.problems.get(name, resolution=8)
    assert isinstance(problem, Linear)
    mu = {k: v[:0] for k, v in problem.parameters.sample(range(1), 0).items()}
    solver = RieszGMRES()
    solution = solver.solve(solver.prepare(problem), mu, None, Tolerance("residual", 1e-4))
    assert solution.field.shape == (0, *problem.space.shape) and len(solution.status) == 0
    assert all(len(values) == 0 for values in solution.stats.values())

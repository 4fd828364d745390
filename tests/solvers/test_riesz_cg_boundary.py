"""Boundary values that jump: relative errors refer to the field's own energy, far below that of the lift."""

import numpy as np
import pytest

import nwidth as nw
from nwidth.solvers.direct import Direct
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.study.errors import energy_errors


@pytest.mark.parametrize("rtol", [1e-1, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("warm", [False, True])
def test_every_tolerance_is_reached(rtol, warm):
    problem = nw.problems.get("poisson", resolution=32)
    mu = problem.parameters.sample(range(8), 0)
    truth = nw.solve(problem, mu, Direct()).field
    start = truth * (1 + 1e-2 * np.random.default_rng(0).standard_normal(truth.shape)) if warm else None
    found = nw.solve(problem, mu, RieszCG(), x0=start, stop=nw.Tolerance("energy", rtol))
    assert found.converged.all()
    error, size = energy_errors(problem, mu, truth, found.field)
    assert (error <= rtol * size).all()
    assert (found.stats["iterations"] <= 25).all()

"""Runs to learn from, with solutions in closed form."""

import numpy as np
import pytest

from nwidth.problems.poisson import Poisson
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.grid import Grid
from nwidth.spaces.random_field import TwoValuedField


def poisson_runs(problem, count, seed=0):
    """Solutions whose Dirichlet values depend on the parameters."""
    mu = problem.parameters.sample(range(count), seed)
    return Snapshots(problem.parameters, problem.space, mu, problem.exact(mu))


def averaged_runs(resolution, count, seed=0, ambient=2.1):
    """Field to field, cheap, equivariant under the square: bubble times smoothed coefficient, `ambient` outside."""
    parameters, grid = TwoValuedField(resolution=resolution), Grid((resolution, resolution))
    mu = parameters.sample(range(count), seed)
    x = np.linspace(0, 1, resolution + 1)
    weight = np.exp(-20 * (x[:, None] - x) ** 2) / resolution
    smooth = np.einsum("ij,bjk,kl->bil", weight, mu["a"] / 12, weight)
    bubble = x * (1 - x)
    return Snapshots(parameters, grid, mu, ambient + smooth * bubble[:, None] * bubble)


@pytest.fixture(scope="session")
def poisson():
    return poisson_runs(Poisson(12), 48)


@pytest.fixture(scope="session")
def averaged():
    return averaged_runs(12, 48)

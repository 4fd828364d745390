"""The manufactured problem on every kind of grid: orders, absolute errors, proven constants, certified solves."""

import json

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.core.solution import Tolerance
from nwidth.problems.poisson import Poisson
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.testing.dense_grid import dense_stencils, dense_transport

MU = {"slope": np.array([0.0, 3.0]), "frequency": np.array([1.0, 3.0])}
BOUNDARIES = [
    "dirichlet",
    "neumann",
    "robin",
    "periodic",
    (("dirichlet", "neumann"), "periodic"),
    (("robin", "neumann"), ("neumann", "dirichlet")),
]
CASES = [(b, c) for b in BOUNDARIES for c in ("node", "cell") if (b, c) != ("dirichlet", "node")]


def solved(problem, tolerance=1e-10):
    state = RieszCG().prepare(problem)
    solution = RieszCG().solve(state, MU, stop=Tolerance("residual", tolerance))
    assert solution.converged.all()
    return solution


@pytest.mark.parametrize(("boundary", "centring"), CASES, ids=str)
def test_second_order_and_absolute_error(boundary, centring):
    errors = []
    for n in (16, 32, 64):
        problem = Poisson(n, 2, boundary_type=boundary, centring=centring)
        u = solved(problem).field
        if problem.space.floating:
            volumes = problem.space.volumes()
            u = u - (u * volumes).sum(axis=(1, 2), keepdims=True) / volumes.sum()
        errors.append(np.abs(u - problem.exact(MU)).reshape(2, -1).max(axis=1))
    orders = np.log2(errors[1] / errors[2])
    np.testing.assert_allclose(orders, 2.0, atol=0.2)
    assert errors[2].max() * 64**2 < 8.0
    assert errors[2].min() * 64**2 > 1e-3


@pytest.mark.parametrize("face", ["arithmetic", "harmonic"])
@pytest.mark.parametrize(("boundary", "centring"), CASES, ids=str)
def test_the_constants_bound_the_spectrum(boundary, centring, face):
    """lower X <= A <= upper X by dense eigenvalues, on functions up to constants where nothing holds the level."""
    problem = Poisson(5, 2, face, boundary, centring)
    space, stability = problem.space, problem.constant(MU)
    assert stability.proven
    kappa = {(s.axis, s.end): np.ones(s.shape) for s in space.sides}
    block = np.ix_(space.free, space.free)
    x = dense_transport(space, np.ones(space.shape), kappa=kappa)[0][block]
    values, vectors = np.linalg.eigh(x)
    kept = vectors[:, int(space.floating) :] / np.sqrt(values[int(space.floating) :])
    for i, a in enumerate(dense_stencils(problem.stencils(MU))):
        found = np.linalg.eigvalsh(kept.T @ a @ kept)
        assert stability.lower[i] <= found[0] * (1 + 1e-9)
        assert stability.upper[i] >= found[-1] * (1 - 1e-9)
        assert stability.lower[i] > 0.3 * found[0] and stability.upper[i] < 3 * found[-1]


@pytest.mark.parametrize(("boundary", "centring"), CASES, ids=str)
def test_the_bound_of_the_energy_error_holds(boundary, centring):
    problem = Poisson(12, 2, boundary_type=boundary, centring=centring)
    state = RieszCG().prepare(problem)
    rough = RieszCG().solve(state, MU, stop=Tolerance("energy", 1e-2))
    sharp = RieszCG().solve(state, MU, stop=Tolerance("energy", 1e-9))
    assert rough.converged.all() and sharp.converged.all()
    systems = problem.systems(MU)
    # prescribed values agree, so the error is free; its energy does not see a constant
    error = np.sqrt(systems.energy((rough.field - sharp.field).reshape(2, -1)))
    assert (error <= rough.stats["bound"] * (1 + 1e-6)).all()
    assert error[1] > rough.stats["bound"][1] / 100  # (a constant coefficient takes one step, to rounding)


@pytest.mark.parametrize("dim", [1, 3])
def test_other_dimensions(dim):
    problem = Poisson(8, dim, boundary_type=(("robin", "dirichlet"), "periodic", "neumann")[:dim], centring="cell")
    assert abs(solved(problem).field - problem.exact(MU)).max() < 0.25
    finer = problem.at(24)
    assert abs(solved(finer).field - finer.exact(MU)).max() < 0.03


def test_round_trip_with_boundaries_and_old_files():
    problem = Poisson(6, 2, "harmonic", (("robin", "dirichlet"), "periodic"), "cell")
    config, arrays, children = problem.to_parts()
    assert Poisson.from_parts(json.loads(json.dumps(config)), arrays, children) == problem
    with pytest.raises(InputError, match="not the same problem any more"):
        Poisson.from_parts({**config, "boundary_type": "dirichlet"}, arrays, children)
    plain = Poisson(6)
    config = {"resolution": 6, "dim": 2, "face": "arithmetic"}  # as written before there were other boundaries
    assert Poisson.from_parts(config, plain.to_parts().arrays, {}) == plain

"""The manufactured problem: order of convergence and absolute error, boundary data, storage."""

import json

import numpy as np
import pytest
import scipy.sparse.linalg

from nwidth.core.errors import InputError
from nwidth.core.validation import select
from nwidth.problems.poisson import Poisson

MU = {"slope": np.array([0.0, 2.0, 3.0]), "frequency": np.array([1.0, 3.0, 4.0])}
#: Largest nodal error times the square of the cells (measured: 0.70 to 0.74 in one, 0.58 to 0.64 in two dimensions).
CONSTANT = 0.75


def solve(problem, mu):
    """Sparse direct solutions, one by one."""
    fields = []
    for i in range(len(mu["slope"])):
        system = problem.assemble(select(mu, slice(i, i + 1)))
        u, free = system.lift.copy(), system.free
        inner = system.matrix.tocsc()[free][:, free]
        u[free] += scipy.sparse.linalg.spsolve(inner, system.load[free])
        fields.append(u)
    return problem.space.unflatten(np.stack(fields))


@pytest.mark.parametrize("face", ["arithmetic", "harmonic"])
@pytest.mark.parametrize(("dim", "sizes"), [(1, (16, 32, 64, 128)), (2, (8, 16, 32, 64)), (3, (4, 8, 16))])
def test_second_order_and_absolute_error(dim, sizes, face):
    errors = []
    for n in sizes:
        problem = Poisson(n, dim, face)
        errors.append(np.abs(solve(problem, MU) - problem.exact(MU)).reshape(3, -1).max(axis=1))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders[-1], 2.0, atol=0.12 if dim == 3 else 0.06)
    assert errors[-1].max() < CONSTANT / sizes[-1] ** 2
    assert errors[-1].min() > 1e-3 / sizes[-1] ** 2


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_source_and_solution_satisfy_the_equation(dim):
    """-∇·(a ∇u) = f by central differences of the closed forms on a fine grid, at the inner nodes."""
    problem = Poisson({1: 2000, 2: 400, 3: 64}[dim], dim)
    u, a = problem.exact(MU), problem.coefficient(MU)
    h = 1.0 / problem.resolution
    inner = (slice(None), *(slice(1, -1),) * dim)
    total = np.zeros_like(u[inner])
    for axis in range(1, dim + 1):
        shift = lambda v, s, axis=axis: np.roll(v, -s, axis)[inner]  # noqa: E731
        right = (shift(a, 1) + a[inner]) / 2 * (shift(u, 1) - u[inner])
        left = (shift(a, -1) + a[inner]) / 2 * (u[inner] - shift(u, -1))
        total -= (right - left) / h**2
    np.testing.assert_allclose(total, problem.source(MU)[inner], atol=200 * h**2)


def test_prescribed_values_are_exact():
    problem = Poisson(8, 2)
    systems = problem.systems(MU)
    exact = problem.space.flatten(problem.exact(MU))
    edge = ~systems.free
    np.testing.assert_array_equal(systems.lift[:, edge], exact[:, edge])
    np.testing.assert_array_equal(systems.impose(0 * exact)[:, edge], exact[:, edge])
    assert abs(exact[:, edge]).max() > 1.0


def test_batch_and_single_systems_agree():
    problem = Poisson(9, 2)
    systems = problem.systems(MU)
    w = np.where(systems.free, np.random.default_rng(0).standard_normal(systems.load.shape), 0.0)
    for i in range(3):
        one = problem.assemble(select(MU, slice(i, i + 1)))
        np.testing.assert_array_equal(one.load, systems.load[i])
        expected = np.where(one.free, one.matrix @ w[i], 0.0)
        np.testing.assert_allclose(systems.apply(w)[i], expected, atol=1e-13)
    with pytest.raises(InputError, match="one parameter, got 3"):
        problem.assemble(MU)


def test_stability_and_resizing():
    problem = Poisson(16, 2)
    stability = problem.constant(MU)
    assert stability.proven
    np.testing.assert_allclose(stability.lower, 1.0, atol=0.01)
    np.testing.assert_allclose(stability.upper, 1.0 + MU["slope"], rtol=0.1)
    assert (stability.upper <= 1.0 + MU["slope"] + 1e-12).all()
    finer = problem.at(32)
    np.testing.assert_array_equal(finer.exact(MU)[:, ::2, ::2], problem.exact(MU))
    np.testing.assert_array_equal(finer.parameters.sample([3], 1)["slope"], problem.parameters.sample([3], 1)["slope"])


def test_round_trip_and_a_changed_problem_is_noticed():
    problem = Poisson(12, 3, "harmonic")
    config, arrays, children = problem.to_parts()
    config = json.loads(json.dumps(config))
    assert Poisson.from_parts(config, arrays, children) == problem
    with pytest.raises(InputError, match="not the same problem any more"):
        Poisson.from_parts(config, {"check": arrays["check"] * (1 + 1e-5)}, children)
    with pytest.raises(InputError, match="not the same problem any more"):
        Poisson.from_parts({**config, "face": "arithmetic"}, arrays, children)


def test_bad_input_is_named():
    for make, message in [
        (lambda: Poisson(1), "at least 2 cells"),
        (lambda: Poisson(8, 4), "1 to 3 directions"),
        (lambda: Poisson(8, face="upwind"), "choose one of arithmetic, harmonic"),
        (lambda: Poisson(8).systems({"slope": np.ones(2)}), r"missing \['frequency'\]"),
        (lambda: Poisson(8).systems({"slope": np.array([-5.0]), "frequency": np.ones(1)}), "coefficient: sample 0 is"),
    ]:
        with pytest.raises(InputError, match=message):
            make()

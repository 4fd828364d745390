"""Darcy flow: a series solution, symmetry, the maximum principle, resizing, storage and bad coefficients."""

import json

import numpy as np
import pytest
import scipy.sparse.linalg

from nwidth.core.errors import InputError
from nwidth.problems.darcy import Darcy
from nwidth.spaces.random_field import LogNormalField, TwoValuedField


def solve(problem, a):
    system = problem.assemble({"a": a[None]})
    u, free = system.lift.copy(), system.free
    u[free] += scipy.sparse.linalg.spsolve(system.matrix.tocsc()[free][:, free], system.load[free])
    return u.reshape(a.shape)


def series_at_the_middle(terms=400):
    """u(1/2, 1/2) of -Δu = 1 by the double sine series, 0.0736713532814..."""
    k = np.arange(1, terms, 2)
    signs = np.where((k // 2) % 2 == 0, 1.0, -1.0)
    table = np.add.outer(k**2, k**2) * np.multiply.outer(k, k)
    return 16 / np.pi**4 * np.sum(np.multiply.outer(signs, signs) / table)


def test_a_constant_coefficient_gives_the_known_series():
    exact = series_at_the_middle() / 5.0
    assert exact * 5 == pytest.approx(0.0736713532814, abs=1e-8)
    errors = [abs(solve(Darcy(n), np.full((n + 1, n + 1), 5.0))[n // 2, n // 2] - exact) for n in (8, 16, 32, 64)]
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2.0, atol=0.03)
    assert errors[-1] < 2.9e-6


def test_the_flux_through_the_faces_of_every_node_balances_the_source():
    """Layers with a jump: harmonic means across them, plain values along them."""
    n = 16
    a = np.full((n + 1, n + 1), 3.0)
    a[:, n // 2 + 1 :] = 12.0
    u = solve(Darcy(n, face="harmonic"), a)
    flux = 2 / (1 / a[:, :-1] + 1 / a[:, 1:]) * np.diff(u, axis=1)
    divergence = np.diff(flux[1:-1], axis=1)
    across = np.diff((a[:-1] + a[1:])[:, 1:-1] / 2 * np.diff(u, axis=0)[:, 1:-1], axis=0)
    np.testing.assert_allclose(-(divergence + across) * n**2, 1.0, rtol=1e-10)


@pytest.mark.parametrize("law", ["two-valued", "log-normal"])
def test_solutions_are_positive_and_fall_with_the_coefficient(law):
    problem = Darcy(16, law=law)
    a = problem.parameters.sample([0], 0)["a"][0]
    u = solve(problem, a)
    assert (u[1:-1, 1:-1] > 0).all()
    np.testing.assert_allclose(solve(problem, 4 * a), u / 4, rtol=1e-12)
    assert (solve(problem, a * 1.5) < u)[1:-1, 1:-1].all()


def test_parameters_follow_the_options():
    two = Darcy(32, low=1.0, high=5.0, tau=5.0, modes=40).parameters
    assert two == TwoValuedField(resolution=32, low=1.0, high=5.0, tau=5.0, modes=40)
    assert Darcy(32, law="log-normal", sigma=0.4).parameters == LogNormalField(resolution=32, sigma=0.4)
    assert Darcy().parameters.limits == (3.0, 12.0)


@pytest.mark.parametrize("law", ["two-valued", "log-normal"])
def test_the_same_samples_on_every_grid(law):
    coarse, fine = Darcy(16, law=law), Darcy(16, law=law).at(64)
    np.testing.assert_allclose(
        fine.parameters.sample(range(3), 1)["a"][:, ::4, ::4], coarse.parameters.sample(range(3), 1)["a"], rtol=1e-12
    )


def test_stability_is_the_range_of_the_faces():
    problem = Darcy(16)
    mu = problem.parameters.sample(range(4), 0)
    stability = problem.constant(mu)
    np.testing.assert_allclose(stability.lower, 3.0, rtol=1e-14)
    np.testing.assert_allclose(stability.upper, 12.0, rtol=1e-14)
    assert (stability.lower < 3.0).all() and (stability.upper > 12.0).all()  # room for rounding
    assert stability.proven


@pytest.mark.parametrize("problem", [Darcy(16), Darcy(10, law="log-normal", face="harmonic", modes=20)])
def test_round_trip_and_a_changed_law_is_noticed(problem):
    config, arrays, children = problem.to_parts()
    config = json.loads(json.dumps(config))
    assert Darcy.from_parts(config, arrays, children) == problem
    for change in ({"tau": 3.3}, {"resolution": 12}, {"modes": 21}):
        with pytest.raises(InputError, match="not the same problem any more"):
            Darcy.from_parts({**config, **change}, arrays, children)


def test_a_bare_array_is_the_coefficient():
    problem = Darcy(8)
    a = problem.parameters.sample(range(2), 0)["a"]
    np.testing.assert_array_equal(problem.systems(a).load, problem.systems({"a": a}).load)
    np.testing.assert_array_equal(problem.coefficient(a), a)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_dimension_has_its_stencils(dim):
    problem = Darcy(8, dim=dim)
    mu = problem.parameters.sample(range(2), 0)
    assert mu["a"].shape == (2, *(9,) * dim)
    systems, stencils = problem.systems(mu), problem.stencils(mu)
    np.testing.assert_array_equal(stencils.load.reshape(2, -1), systems.load[:, systems.free])
    assert stencils.load.min() == stencils.load.max() == pytest.approx(8.0**-dim)
    assert problem.modes == {1: 128, 2: 128, 3: 32}[dim]


def test_stretching_the_box_weakens_the_coupling_along_it():
    """-∇·(diag(1, 1/1000) ∇u) on the unit square is -Δu on (0, 1) x (0, √1000), up to the volume of the box."""
    problem = Darcy(8, lengths=(1.0, 1000**0.5))
    stencils = problem.stencils(np.ones((1, 9, 9)))
    ratio = stencils.plus[0][0, 3, 0, 3] / stencils.plus[2][0, 3, 0, 3]
    assert ratio == pytest.approx(1000.0)
    again = Darcy.from_parts(*(json.loads(json.dumps(problem.to_parts().config)), problem.to_parts().arrays, {}))
    assert again == problem


@pytest.mark.parametrize("value", [0.0, -1.3, np.nan, np.inf])
def test_impossible_coefficients_are_refused_at_use(value):
    problem = Darcy(8)
    a = problem.parameters.sample(range(3), 0)["a"]
    a[2, 4, 6] = value
    for use in (problem.systems, problem.stencils, problem.constant, problem.coefficient):
        with pytest.raises(InputError, match=r"a: sample 2 is .* at node \(4, 6\), x = \(0.5, 0.75\)"):
            use({"a": a})
    assert problem.parameters.contains({"a": a}).tolist() == [True, True, False]


def test_bad_input_is_named():
    for make, message in [
        (lambda: Darcy(law="three-valued"), "choose one of two-valued, log-normal"),
        (lambda: Darcy(face="mean"), "choose one of arithmetic, harmonic"),
        (lambda: Darcy(low=-3.0), "0 < low <= high"),
        (lambda: Darcy(1), "at least 2"),
        (lambda: Darcy(dim=4), "dim 1 to 3"),
        (lambda: Darcy(lengths=(1.0, -2.0)), "positive length"),
        (lambda: Darcy(lengths=(1.0, 2.0, 1.0)), "positive length"),
        (lambda: Darcy(8).systems(np.ones((9, 9))), r"no batch axis"),
        (lambda: Darcy(8).systems(np.ones((1, 8, 8))), r"expected \(B, 9, 9\)"),
    ]:
        with pytest.raises(InputError, match=message):
            make()

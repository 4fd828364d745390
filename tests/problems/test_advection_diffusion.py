"""Advection-diffusion: manufactured and fine-grid solutions, orders, random flows, storage and bad input."""

import json

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from nwidth.core.errors import InputError
from nwidth.core.validation import select
from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.spaces.grid import interpolate
from nwidth.spaces.stream_function import StreamFunction

ANGLES = {"angle": np.array([0.3, 2.0, 4.4])}


def solve(problem, mu):
    """Sparse direct solutions, one by one."""
    fields = []
    for i in range(len(next(iter(mu.values())))):
        system = problem.assemble(select(mu, slice(i, i + 1)))
        u, free = system.lift.copy(), system.free
        u[free] += scipy.sparse.linalg.spsolve(scipy.sparse.csc_matrix(system.matrix)[free][:, free], system.load[free])
        fields.append(u)
    return problem.space.unflatten(np.stack(fields))


def errors(make, mu, sizes):
    return np.array([abs(solve(make(n), mu) - make(n).exact(mu)).max() for n in sizes])


@pytest.mark.parametrize("centring", ["node", "cell"])
@pytest.mark.parametrize(
    "boundary", ["dirichlet", (("dirichlet", "robin"), "dirichlet"), (("dirichlet", "neumann"),) * 2]
)
def test_uniform_flow_converges_to_its_closed_form(boundary, centring):
    make = lambda n: AdvectionDiffusion(  # noqa: E731
        n, 20.0, "central", "uniform", boundary_type=boundary, centring=centring, reaction_rate=1.0
    )
    found = errors(make, ANGLES, (16, 32, 64))
    assert np.log2(found[1] / found[2]) == pytest.approx(2.0, abs=0.3)
    assert found[2] * 64**2 < 20.0


def test_upwind_converges_at_first_order_and_central_is_better():
    make = lambda n: AdvectionDiffusion(n, 20.0, "upwind", "uniform")  # noqa: E731
    found = errors(make, ANGLES, (32, 64, 128))
    assert np.log2(found[1] / found[2]) == pytest.approx(1.0, abs=0.1)
    assert 0.005 < found[2] < 0.03


def test_three_dimensions():
    mu = {"angle": np.array([1.0]), "elevation": np.array([0.5])}
    make = lambda n: AdvectionDiffusion(n, 10.0, "central", "uniform", dim=3)  # noqa: E731
    found = errors(make, mu, (6, 12, 24))
    assert np.log2(found[1] / found[2]) == pytest.approx(2.0, abs=0.15)
    assert found[2] * 24**2 < 4.0


@pytest.mark.parametrize(
    ("scheme", "centring", "order", "limit"),
    [
        ("central", "node", 2.0, 6e-3),
        ("central", "cell", 2.0, 0.026),
        ("upwind", "node", 1.0, 0.08),
        ("upwind", "cell", 1.0, 0.08),
    ],
)
def test_random_flow_converges_to_the_solution_on_a_fine_grid(scheme, centring, order, limit):
    """Against the central scheme on 256 cells at Péclet number 30, relative to the largest value (the layers at the
    outflow decide, and for cells the interpolation there)."""
    fine = AdvectionDiffusion(256, 30.0, "central", centring=centring)
    reference = solve(fine, fine.parameters.sample([1], 0))
    found = []
    for n in (16, 32, 64):
        problem = AdvectionDiffusion(n, 30.0, scheme, centring=centring)
        u = solve(problem, problem.parameters.sample([1], 0))
        found.append(abs(u - interpolate(reference, fine.space, problem.space)).max() / abs(reference).max())
    assert np.log2(found[1] / found[2]) == pytest.approx(order, abs=0.35)
    assert found[2] < limit


@pytest.mark.parametrize("centring", ["node", "cell"])
@pytest.mark.parametrize("walls", [False, True])
def test_random_flows_have_no_divergence_and_the_speed_of_one(walls, centring):
    problem = AdvectionDiffusion(40, walls=walls, centring=centring)
    mu = problem.parameters.sample(range(4), 0)
    b0, b1 = problem.velocity(mu)
    w0, w1 = (d.widths for d in problem.space.directions)
    assert abs(np.diff(b0, axis=1) * w1 + np.diff(b1, axis=2) * w0[:, None]).max() < 1e-14
    n = 40
    middle = np.hypot((b0[:, 1:] + b0[:, :-1])[:, :n, :n] / 2, (b1[:, :, 1:] + b1[:, :, :-1])[:, :n, :n] / 2)
    speed = middle.reshape(4, -1).max(axis=1)
    assert (speed > 0.9).all() and (speed < 1.001).all()
    crossing = max(abs(b0[:, 0]).max(), abs(b1[:, :, -1]).max())
    assert (crossing < 1e-15) if walls else (crossing > 0.1)
    # the flow is (∂ψ/∂y, -∂ψ/∂x) of the parameter: differences over two cells at inner nodes
    if centring == "node":
        slope = (mu["psi"][:, :, 2:] - mu["psi"][:, :, :-2]) * n / 2
        at_nodes = (b0[:, 1:, 1:-1] + b0[:, :-1, 1:-1])[:, 1:-1] / 2
        np.testing.assert_allclose(at_nodes, slope[:, 1:-1], atol=0.05)


def test_the_same_flow_on_every_grid():
    coarse, fine = StreamFunction(resolution=16), StreamFunction(resolution=64)
    a, b = coarse.sample(range(3), 5)["psi"], fine.sample(range(3), 5)["psi"]
    np.testing.assert_allclose(b[:, ::4, ::4], a, atol=1e-14)
    np.testing.assert_array_equal(coarse.sample([2], 5)["psi"][0], a[2])
    assert coarse.at(64) == fine
    assert coarse.contains({"psi": a}).all()
    assert not coarse.contains({"psi": 2 * a}).any()
    assert coarse.contains({"psi": np.where(np.arange(17) == 3, np.nan, a)}).sum() == 0
    assert not fine.contains({"psi": a}).any()
    config, arrays, _ = coarse.to_parts()
    assert StreamFunction.from_parts(json.loads(json.dumps(config)), arrays, {}) == coarse


def test_upwind_answers_stay_positive_at_a_large_peclet_number():
    problem = AdvectionDiffusion(32, 6400.0)
    mu = problem.parameters.sample(range(2), 3)
    u = solve(problem, mu)
    assert u.min() >= 0
    central = AdvectionDiffusion(32, 6400.0, "central")
    assert solve(central, mu).min() < 0


@pytest.mark.parametrize(
    "problem",
    [
        AdvectionDiffusion(10, walls=True),
        AdvectionDiffusion(
            8, 50.0, "central", "uniform", 3, 2.0, (("dirichlet", "neumann"), "robin", "neumann"), "cell"
        ),
    ],
)
def test_round_trip_and_a_changed_problem_is_noticed(problem):
    config, arrays, children = problem.to_parts()
    config = json.loads(json.dumps(config))
    assert AdvectionDiffusion.from_parts(config, arrays, children) == problem
    for change in ({"peclet": 51.0}, {"scheme": "upwind" if problem.scheme == "central" else "central"}):
        with pytest.raises(InputError, match="not the same problem any more"):
            AdvectionDiffusion.from_parts({**config, **change}, arrays, children)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdvectionDiffusion(scheme="downwind"), "choose one of upwind, central"),
        (lambda: AdvectionDiffusion(flow="curl"), "choose one of random, uniform"),
        (lambda: AdvectionDiffusion(peclet=0.0), "peclet = 0"),
        (lambda: AdvectionDiffusion(dim=3), "dim = 3 with flow 'random'"),
        (lambda: AdvectionDiffusion(boundary_type="periodic"), "not periodic"),
        (lambda: AdvectionDiffusion(flow="uniform", boundary_type="periodic"), "not periodic"),
        (lambda: AdvectionDiffusion(boundary_type="neumann"), "reaction_rate > 0"),
        (lambda: AdvectionDiffusion(8).exact(np.zeros((1, 9, 9))), "no solution in closed form"),
        (lambda: AdvectionDiffusion(8).systems(np.zeros((1, 8, 8))), r"expected \(B, 9, 9\)"),
        (lambda: AdvectionDiffusion(8).systems(np.full((1, 9, 9), np.nan)), "velocity across direction 0: sample 0"),
        (lambda: StreamFunction(modes=1), "2 modes"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()

"""Reduced parabolic problems against full-order trajectories, dense oracles and themselves."""

from dataclasses import replace

import numpy as np
import pytest
from tests.rb.evolution_cases import HeatLine, RandomEvolution, exact

import nwidth as nw
from nwidth.core.errors import InputError, WorkError
from nwidth.problems.parabolic import Stepping, pieces
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb import parabolic, pod_greedy
from nwidth.rb.parabolic_constants import dual_norms, mass_constants
from nwidth.rb.pod_greedy import PODGreedy, compressed
from nwidth.snapshots.base import Snapshots

SCHEMES = ("implicit-euler", "crank-nicolson")


@pytest.fixture(scope="module")
def problem():
    return RandomEvolution(size=30, count=24, every=4)


@pytest.fixture(scope="module")
def reduced(problem):
    return PODGreedy(tol=None, max_size=11, training=5, modes=3).fit(problem=problem)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("outputs", [True, False])
def test_the_full_basis_is_the_full_order_solution(scheme, outputs):
    problem = RandomEvolution(size=10, terms=3, count=30, every=3, scheme=scheme, starts=2)
    reduced = PODGreedy(tol=None, max_size=10, training=5, outputs=outputs).fit(problem=problem)
    mu = problem.parameters.sample(range(6), 8)
    levels, points = exact(problem, mu)
    answer = reduced.predict(mu)
    assert reduced.modes == 10
    np.testing.assert_allclose(answer.field, levels[:, 2::3].astype(float), rtol=0, atol=1e-12)
    for name, quantity in problem.quantities().items():
        truth = (points[:, 2::3] @ quantity.functional + quantity.offset).astype(float)
        np.testing.assert_allclose(answer.outputs[name].values, truth, rtol=0, atol=1e-11)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_mode_is_enough_for_a_sine(scheme):
    problem = HeatLine(stepping=Stepping(0.02, 40, scheme, every=4))
    reduced = PODGreedy(tol=1e-9, max_size=3, training=4, outputs=False).fit(problem=problem)
    mu = problem.parameters.sample(range(5), 1)
    assert reduced.modes == 1
    np.testing.assert_allclose(reduced.predict(mu).field, problem.exact(mu), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_steps_and_residuals_against_dense_ones(scheme):
    problem = RandomEvolution(size=20, count=12, scheme=scheme)
    reduced = PODGreedy(tol=None, max_size=6, training=4).fit(problem=problem)
    mu = problem.parameters.sample(range(3), 8)
    v, terms, model, steps = reduced.basis, problem.terms(), reduced.model, problem.stepping
    free = terms.free
    matrices, mass = [m.toarray() for m in terms.matrices], problem.mass().matrix.toarray()
    x = problem.space.energy.matrix.toarray()[np.ix_(free, free)]
    (piece,) = list(reduced.stream(mu))
    norm, _ = model.residual_norms(piece.theta, piece.phi, piece.start, piece.levels, steps)
    for b in range(3):
        c = piece.start[b]
        for k in range(steps.count):
            a = sum(t * m for t, m in zip(piece.theta[b, k], matrices, strict=True))
            f = piece.phi[b, k] @ terms.loads
            scale = 1 / (steps.weight * steps.dt)
            point = np.linalg.solve(v @ (a + scale * mass) @ v.T, v @ f + scale * v @ mass @ v.T @ c)
            new = c + (point - c) / steps.weight
            np.testing.assert_allclose(piece.points[b, k], point, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(piece.levels[b, k], new, rtol=1e-9, atol=1e-12)
            r = (f - a @ (v.T @ point) - mass @ (v.T @ (new - c)) / steps.dt)[free]
            assert norm[b, k] == pytest.approx(np.sqrt(r @ np.linalg.solve(x, r)), rel=1e-8)
            c = new


def test_the_march_in_small_pieces_is_the_march(problem, reduced, monkeypatch):
    mu = problem.parameters.sample(range(40), 3)
    whole = reduced.predict(mu)
    monkeypatch.setattr(parabolic, "_HELD", 1)
    assert len(list(reduced.stream(mu))) == 2
    again = reduced.predict(mu)
    np.testing.assert_allclose(again.field, whole.field, rtol=0, atol=1e-14)
    np.testing.assert_allclose(again.outputs["other"].values, whole.outputs["other"].values, rtol=0, atol=1e-13)
    assert [last - first for first, last, *_ in pieces(problem, mu, 10)] == [10, 10, 4]


def test_truncation_is_the_fit_that_stopped_there(problem, reduced):
    small = PODGreedy(tol=None, max_size=6, training=5, modes=3).fit(problem=problem)
    cut, mu = reduced.truncate(small.modes), problem.parameters.sample(range(4), 9)
    np.testing.assert_allclose(cut.predict(mu).field, small.predict(mu).field, rtol=0, atol=1e-10)
    with pytest.raises(InputError, match="cannot keep 12 of 11 modes"):
        reduced.truncate(12)


def test_a_saved_model_answers_the_same(reduced, tmp_path):
    nw.save(reduced, tmp_path / "model.nwidth")
    again = nw.load(tmp_path / "model.nwidth", kinds=[RandomEvolution])
    mu = reduced.parameters.sample(range(3), 1)
    np.testing.assert_array_equal(again.predict(mu).field, reduced.predict(mu).field)
    np.testing.assert_array_equal(again.history["chosen"], reduced.history["chosen"])


def test_the_same_basis_serves_other_steps_and_no_other_problem(reduced):
    longer = RandomEvolution(size=30, count=200, every=40, dt=0.02)
    mu = longer.parameters.sample(range(2), 1)
    assert reduced.moved_to(longer).predict(mu).field.shape == (2, 5, 31)
    with pytest.raises(InputError, match="matrices, mass, loads"):
        reduced.moved_to(RandomEvolution(size=30, seed=1))


def test_the_tolerance_holds_on_the_training_set(problem):
    mu = problem.parameters.sample(range(5), 0)
    fit = PODGreedy(tol=1e-2, max_size=30, training=mu, modes=2, outputs=False).fit(problem=problem)
    bounds = fit.history["bound"]
    assert bounds[-1] <= 1e-2 < bounds[-2] and fit.modes < 30
    runs = Snapshots(problem.parameters, problem.space, mu, np.zeros((5, 6, 31)), times=problem.times)
    again = PODGreedy(tol=1e-2, max_size=30, modes=2, outputs=False).fit(runs, problem)
    np.testing.assert_array_equal(again.history["chosen"], fit.history["chosen"])


def test_duals_are_trained_where_outputs_are_wanted(problem):
    both = PODGreedy(tol=None, max_size=16, training=4).fit(problem=problem)
    alone = PODGreedy(tol=None, max_size=16, training=4, outputs=False).fit(problem=problem)
    assert set(both.history["chosen"][:, 1]) > {-1} == set(alone.history["chosen"][:, 1])


def test_a_missed_tolerance_says_what_was_reached(problem):
    with pytest.raises(WorkError, match=r"misses tol = 1e-06, with 4 modes; raise max_size \(now 4\)"):
        PODGreedy(tol=1e-6, max_size=4, training=3).fit(problem=problem)


def test_other_problems_and_impossible_configurations_are_refused():
    with pytest.raises(InputError, match="POD-greedy needs an AffineEvolution, got ThermalBlock"):
        PODGreedy().fit(problem=ThermalBlock(resolution=4))
    for bad in ({"tol": 0.0}, {"max_size": 0}, {"modes": 0}):
        with pytest.raises(InputError):
            PODGreedy(**bad)


def test_the_compression_of_a_trajectory_is_its_pod(problem, monkeypatch):
    inner, rng = problem.space.inner("energy"), np.random.default_rng(0)
    states = (rng.normal(size=(50, 31)) * 0.6 ** np.arange(31)) @ rng.normal(size=(31, 31)) * problem.terms().free
    basis = np.zeros((0, 31))
    monkeypatch.setattr(pod_greedy, "_BLOCK", 7)
    ours = compressed(iter(states[:, None]), inner, basis)
    root = np.linalg.cholesky(inner.matrix.toarray())
    sigma = np.linalg.svd(states[:, 1:] @ root, compute_uv=False)
    np.testing.assert_allclose(inner.norm(ours)[:12], sigma[:12], rtol=1e-6)
    rest = compressed(iter(states[:, None]), inner, ours[:12] / inner.norm(ours[:12])[:, None])
    assert inner.norm(rest)[0] == pytest.approx(sigma[12], rel=1e-5)


def test_constants_between_mass_and_stiffness_are_proven_and_close(problem):
    free, mass = problem.terms().free, problem.mass().matrix.toarray()
    m, x = (a[np.ix_(free, free)] for a in (mass, problem.space.energy.matrix.toarray()))
    found = mass_constants(problem, anchors=np.array([[0.5, 4.0]]))
    values = np.linalg.eigvals(np.linalg.solve(m, x)).real
    assert (
        0.998 * values.min() <= found.factors[0] <= values.min() and values.max() <= found.upper <= 1.1 * values.max()
    )
    exactly = np.sqrt([f[free] @ np.linalg.solve(m, f[free]) for f in problem._functionals])
    assert (exactly <= found.functionals).all() and (found.functionals <= 1.0001 * exactly).all()
    for theta in np.random.default_rng(0).uniform(0.2, 5.0, size=(20, 2)):
        a = sum(t * p.toarray() for t, p in zip(theta, problem.terms().matrices, strict=True))[np.ix_(free, free)]
        smallest = np.linalg.eigvals(np.linalg.solve(m, a)).real.min()
        assert found.lower(theta[None, None])[0, 0] <= smallest
    at = np.array([[[0.5, 4.0]]])
    assert found.lower(at)[0, 0] > replace(found, anchors=found.anchors[:1], factors=found.factors[:1]).lower(at)[0, 0]
    assert dual_norms(np.zeros((0, 31)), problem.mass(), free).shape == (0,)

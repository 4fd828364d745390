"""Steps as a problem: the solver's own march is its peer, extended precision its reference, and it is stored."""

from dataclasses import replace

import numpy as np
import pytest
from tests.certificates.stepped_cases import exact

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Rigorous
from nwidth.problems.heat import Heat
from nwidth.problems.parabolic import Stepping
from nwidth.problems.stepped import Stepped
from nwidth.solvers.implicit import CrankNicolson

MU = {
    "conductivity": np.array([0.2, 1.0]),
    "slope": np.array([0.0, 3.0]),
    "frequency": np.array([1.0, 4.0]),
}


@pytest.mark.parametrize("elements", ["grid", "triangles"])
def test_crank_nicolson_is_the_solver_of_that_name_without_its_smooth_start(elements):
    problem = Stepped(Heat(8, elements=elements), Stepping(0.05, 20, "crank-nicolson"))
    same = replace(problem.problem, levels=tuple(problem.times))
    peer = nw.solve(same, MU, CrankNicolson(0.05, check=False, smooth=0)).field
    np.testing.assert_allclose(nw.solve(problem, MU).field, peer, atol=1e-12)


@pytest.mark.parametrize("scheme", ["implicit-euler", "crank-nicolson"])
@pytest.mark.parametrize("elements", ["grid", "triangles"])
def test_steps_are_those_of_extended_precision(scheme, elements):
    problem = Stepped(Heat(3, elements=elements), Stepping(0.1, 6, scheme))
    levels, _ = exact(problem, MU)
    np.testing.assert_allclose(problem.solve(MU).reshape(levels.shape), levels.astype(np.float64), atol=1e-13)


@pytest.mark.parametrize(("scheme", "order"), [("implicit-euler", 1), ("crank-nicolson", 2)])
def test_orders_in_time(scheme, order):
    heat = Heat(8)
    fine = Stepped(heat, Stepping(1 / 1024, 1024, "crank-nicolson", every=1024)).solve(MU)
    errors = [np.abs(Stepped(heat, Stepping(1 / n, n, scheme, every=n)).solve(MU) - fine).max() for n in (32, 64)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.2 and errors[1] < 0.02**order


def test_stored_levels_are_some_of_all():
    every, some = (Stepped(Heat(4), Stepping(0.1, 6, every=e)) for e in (1, 3))
    np.testing.assert_array_equal(some.solve(MU), every.solve(MU)[:, 2::3])
    np.testing.assert_allclose(some.times, [0.3, 0.6])


def test_generated_saved_and_loaded(tmp_path):
    problem = Stepped(Heat(4, elements="triangles"), Stepping(0.1, 3))
    runs = nw.generate(problem, 3, seed=0)
    np.testing.assert_allclose(runs.times, problem.times)
    nw.save(problem, tmp_path / "steps.nwidth")
    again = nw.load(tmp_path / "steps.nwidth")
    assert again == problem
    np.testing.assert_array_equal(again.solve(runs.mu), problem.solve(runs.mu))


@pytest.mark.parametrize("elements", ["grid", "triangles"])
def test_the_constants_of_heat_enclose_its_spectrum(elements):
    """Against dense generalised eigenvalues, slopes of both signs."""
    heat = Heat(5, elements=elements)
    inner, free = heat.space.inner("energy"), heat.space.free
    x = inner.apply(np.eye(heat.space.size))[np.ix_(free, free)]
    for slope in (-0.5, 0.0, 3.0):
        mu = {"conductivity": np.array([0.3]), "slope": np.array([slope]), "frequency": np.array([1.0])}
        a = heat.marching(mu).operator.toarray()[np.ix_(free, free)]
        values = np.linalg.eigvals(np.linalg.solve(x, a)).real
        known = heat.constant(mu)
        assert known.lower[0] <= values.min() * (1 + 1e-12) and values.max() * (1 - 1e-12) <= known.upper[0]
        assert known.lower[0] > 0.3 * min(1, 1 + slope) * (1 - 1e-9) and known.proven
    with pytest.raises(InputError, match="heat needs κ > 0 and s > -1"):
        heat.constant({"conductivity": np.array([0.3]), "slope": np.array([-1.0]), "frequency": np.array([1.0])})


@pytest.mark.slow
def test_an_operator_rolled_out_gets_a_guaranteed_limit_and_a_calibrated_one():
    """A small FNO after a few epochs: its trajectories are judged at every step, or by other runs."""
    pytest.importorskip("torch")
    from nwidth.operators import FNO, Evolving, Training

    problem = Stepped(Heat(16), Stepping(0.1, 8))
    runs = nw.generate(problem, 70, seed=0)
    train, holdout, test = runs.split(40, 20, 10)
    network = FNO(modes=6, width=8, layers=2, training=Training(epochs=3, batch=8))
    surrogate = Evolving(network).fit(train, problem, seed=0)
    answer = nw.certify(surrogate, problem).predict(test.mu)
    free = problem.space.free.reshape(problem.space.shape)
    error = np.sqrt(np.sum(((answer.field - test.fields) * free) ** 2, axis=(2, 3)) / 16**2)
    assert isinstance(answer.guarantee, Rigorous)
    assert (error <= answer.stats["in time"]).all() and (answer.stats["at least in time"] <= error).all()
    assert np.median(answer.bound / error.max(axis=1)) < 4
    together = nw.certify(surrogate, holdout=holdout, level=0.9, together=False)
    assert together.predict(test.mu).stats["in time"].shape == (10, 8)

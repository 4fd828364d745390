"""ETDRK4: its order, its answers against a general ODE solver, its choice of steps, and how it fails."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.solvers.semilinear_cases import Explosion, Flow, Reaction, oracle

from nwidth.core.errors import InputError
from nwidth.core.solution import Status, Tolerance
from nwidth.problems.burgers import Burgers
from nwidth.problems.poisson import Poisson
from nwidth.solvers.choose import explain, solve
from nwidth.solvers.etdrk4 import ETDRK4

torch = pytest.importorskip("torch")

BURGERS = Burgers(0.02, 128, 256, levels=(0.2, 0.5), modes=24)


def march(problem, mu, **options):
    solver = ETDRK4(**options)
    return solver.solve(solver.prepare(problem), mu)


def relative(fields, exact):
    axes = tuple(range(2, fields.ndim))
    return np.sqrt(((fields - exact) ** 2).sum(axes) / (exact**2).sum(axes))


def test_fourth_order_and_absolute_error_against_the_closed_form():
    mu = BURGERS.parameters.sample(range(3), 0)
    exact = BURGERS.exact(mu)
    errors = [relative(march(BURGERS, mu, dt=dt, check=False).field, exact).max() for dt in (0.02, 0.01, 0.005)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert abs(orders[-1] - 4) < 0.25, orders
    assert 1e-8 < errors[-1] < 2e-6


@pytest.mark.parametrize(
    "problem", [Reaction((12,)), Reaction((10, 8)), Reaction((6, 8, 7)), Flow((32,)), Flow((12, 16))]
)
def test_agrees_with_a_general_solver_of_the_truncated_system(problem):
    mu = {"a": np.array([0.3, 0.9]), "b": np.array([-0.5, 0.1])}
    expected = np.stack([oracle(problem, u0) for u0 in problem.start(mu)])
    found = march(problem, mu, accuracy=1e-9)
    assert found.converged.all()
    np.testing.assert_allclose(found.field, expected, atol=2e-8)


def test_the_linear_part_is_exact_in_one_step():
    """Drift and diffusion alone: the wave exp(iπx) turns and decays by its factor."""
    problem = replace(Flow((16,)), levels=(3.0,))

    class Linear(Flow):
        def terms(self, k):
            terms = Flow.terms(self, k)
            return replace(
                terms, symbol=terms.symbol + 2j * k[0], inputs=(), outputs=(), product=lambda: (), forcing=None
            )

    problem = Linear((16,), (3.0,))
    mu = {"a": np.array([1.0]), "b": np.array([0.0])}
    (x,) = problem.space.axes()
    decay, shifted = np.exp(-0.05 * np.pi**2 * np.array([1, 4]) * 3.0), x + 6.0
    expected = 1 + 0.5 * decay[0] * np.sin(np.pi * shifted) + 0.3 * decay[1] * np.cos(2 * np.pi * shifted)
    np.testing.assert_allclose(march(problem, mu, dt=3.0, check=False).field[0, 0], expected, atol=1e-13)


def test_default_steps_meet_the_accuracy_and_the_indicator_tells_the_error():
    mu = BURGERS.parameters.sample(range(4), 1)
    exact = BURGERS.exact(mu)
    for accuracy in (1e-4, 1e-7):
        found = march(BURGERS, mu, accuracy=accuracy)
        error = relative(found.field, exact).max(axis=1)
        assert found.converged.all()
        assert (found.stats["indicator"] <= accuracy).all()
        assert (error <= accuracy).all()
        assert (found.stats["indicator"] > error / 10).all()
    assert found.stats["indicator"].min() > 1e-12


def test_a_given_step_is_kept_and_checked():
    mu = BURGERS.parameters.sample(range(2), 0)
    found = march(BURGERS, mu, dt=0.03)
    # ceil(0.2 / 0.03) + ceil(0.3 / 0.03)
    assert found.stats["iterations"].tolist() == [17, 17]
    np.testing.assert_array_equal(found.field, march(BURGERS, mu, dt=0.03, check=False).field)
    error = relative(found.field, BURGERS.exact(mu))[:, -1]
    assert ((found.stats["indicator"] > 0.5 * error) & (found.stats["indicator"] < 100 * error)).all()
    assert (found.status == Status.MAX_ITERATIONS).all()
    assert march(BURGERS, mu, dt=0.03, accuracy=0.1).converged.all()
    unchecked = march(BURGERS, mu, dt=0.03, check=False)
    assert np.isnan(unchecked.stats["indicator"]).all()
    assert unchecked.converged.all()


def test_steps_grow_and_shrink_with_the_solution():
    """The indicator of a long run counts all intervals, most of which are not solved twice."""
    problem = replace(BURGERS, levels=tuple(np.linspace(0.0, 1.0, 21)))
    mu = problem.parameters.sample(range(2), 0)
    found = march(problem, mu, accuracy=1e-6)
    error = relative(found.field, problem.exact(mu))
    assert error.max() < 1e-6
    assert found.stats["indicator"].min() > error[:, -1].min() / 10
    np.testing.assert_array_equal(found.field[:, 0], problem.initial(mu))
    assert found.stats["iterations"].max() < 20 / found.stats["dt"].min()


def test_samples_of_a_batch_do_not_disturb_each_other():
    mu = BURGERS.parameters.sample(range(3), 0)
    together = march(BURGERS, mu, dt=0.01, batch=3).field
    alone = march(BURGERS, mu, dt=0.01, batch=1).field
    np.testing.assert_allclose(together, alone, atol=1e-13)
    assert march(BURGERS, {"u0": mu["u0"][:0]}).field.shape == (0, 2, 128)


def test_single_precision_gives_the_same_answer_to_its_digits():
    mu = BURGERS.parameters.sample(range(2), 0)
    single, double = march(BURGERS, mu, precision="float32"), march(BURGERS, mu)
    assert single.converged.all()
    assert relative(single.field, double.field).max() < 1e-4
    assert relative(single.field, double.field).max() > 1e-8


def test_rounding_does_not_drive_the_step_to_nothing():
    """Forty intervals share 1e-5 in single precision, less than its rounding: the step stays, the status says so."""
    problem = replace(BURGERS, levels=tuple(np.linspace(0.025, 1.0, 40)))
    mu = problem.parameters.sample(range(2), 0)
    single = march(problem, mu, precision="float32", accuracy=1e-5)
    double = march(problem, mu, accuracy=1e-5)
    assert single.stats["dt"].min() >= double.stats["dt"].min() / 4
    assert relative(single.field, double.field).max() < 1e-4
    assert ((single.status == Status.CONVERGED) == (single.stats["indicator"] <= 1e-5)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_graphics_card_gives_the_same_answer():
    mu = BURGERS.parameters.sample(range(3), 0)
    for options, tolerance in (({"dt": 0.01}, 1e-12), ({"dt": 0.01, "precision": "float32"}, 1e-5), ({}, 1e-6)):
        here, there = march(BURGERS, mu, **options), march(BURGERS, mu, device="cuda", **options)
        assert relative(there.field, here.field).max() < tolerance


def test_a_solution_that_explodes_is_a_failure_with_its_time():
    mu = {"c": np.array([2.5, -1.0, 0.25])}
    for options in ({"dt": 1e-3, "accuracy": 1.0}, {"max_steps": 256, "accuracy": 1e-3}):
        found = march(Explosion(), mu, batch=3, **options)
        assert found.status.tolist()[0] == Status.FAILED
        assert abs(found.stats["failed_at"][0] - 0.4) < 0.02
        assert np.isfinite(found.field[0, 0]).all()
        assert np.isnan(found.field[0, 1:]).all()
        exact = mu["c"][1:, None] / (1 - mu["c"][1:, None] * Explosion().times)
        np.testing.assert_allclose(found.field[1:].mean(axis=2), exact, rtol=1e-3)
        assert np.isnan(found.stats["failed_at"][1:]).all()


def test_the_problem_chooses_this_solver():
    assert "exponential Runge-Kutta" in explain(BURGERS)
    mu = BURGERS.parameters.sample(range(2), 0)
    assert relative(solve(BURGERS, mu).field, BURGERS.exact(mu)).max() < 1e-6


def test_bad_input_is_named():
    mu = BURGERS.parameters.sample(range(2), 0)
    broken = {"u0": np.where(np.arange(256) == 3, np.nan, mu["u0"])}
    for call, message in [
        (lambda: ETDRK4(precision="half"), "choose one of float64, float32"),
        (lambda: ETDRK4(check=False), "nothing would choose the step"),
        (lambda: ETDRK4(dt=-1.0), "dt = -1.0; expected a positive number"),
        (lambda: ETDRK4(precision="float32", accuracy=1e-8), "below what float32 can hold"),
        (lambda: ETDRK4().prepare(Poisson(8)), "Poisson is not Semilinear"),
        (lambda: ETDRK4().prepare(replace(Reaction(), levels=(1.0, 0.5))), "increasing finite times"),
        (lambda: solve(BURGERS, mu, stop=Tolerance()), r"say ETDRK4\(accuracy=...\)"),
        (lambda: solve(BURGERS, broken), "row 0 holds a value that is not finite"),
        (lambda: solve(BURGERS, {"u0": mu["u0"][:, :8]}), "expected"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device is here"):
            ETDRK4(device="cuda").prepare(BURGERS)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "nwidth.solvers.etdrk4_torch", raising=False)
    with pytest.raises(InputError, match=r"pip install 'nwidth\[neural\]'"):
        ETDRK4().prepare(BURGERS)

"""A function of one's own as a surrogate: certified, calibrated, refined, refused where its answers do not fit."""

import numpy as np
import pytest

import nwidth as nw
from nwidth.core.guarantee import Rigorous, Statistical
from nwidth.problems.heat import Heat
from nwidth.problems.parabolic import Stepping
from nwidth.problems.stepped import Stepped
from nwidth.spaces.trajectories import Trajectories


@pytest.fixture(scope="module")
def problem() -> nw.Problem:
    return nw.problems.get("poisson", resolution=8)


def off(problem, factor):
    return nw.from_function(lambda mu: factor * nw.solve(problem, mu).field, problem)


def test_its_limit_is_that_of_its_fields(problem):
    mu = problem.parameters.sample(range(3), 1)
    answer = nw.certify(off(problem, 0.9), problem).predict(mu)
    truth = nw.solve(problem, mu).field
    systems = problem.systems(mu)
    e = np.where(systems.free, 0.1 * problem.space.flatten(truth), 0.0)
    error = np.sqrt(np.sum(e * systems.apply(e), axis=1))
    assert isinstance(answer.guarantee, Rigorous)
    assert (answer.bound >= error * (1 - 1e-9)).all() and (answer.lower <= error * (1 + 1e-9)).all()


def test_calibrated_and_recognised(problem):
    one, other = off(problem, 0.9), off(problem, 0.8)
    runs = nw.generate(problem, 30, seed=2)
    certified = nw.certify(one, holdout=runs)
    assert isinstance(certified.guarantee, Statistical)
    with pytest.raises(nw.InputError, match="another surrogate"):
        nw.Certified(other, certified.certificate)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda mu: np.zeros((2, 5)), "shape"),
        (lambda mu: np.zeros((3, 9, 9)), "3 fields for 2 queries"),
        ("model", "function of the parameters"),
    ],
    ids=["shape", "count", "none"],
)
def test_what_does_not_fit_is_said(problem, function, words):
    with pytest.raises(nw.InputError, match=words):
        nw.from_function(function, problem).predict(problem.parameters.sample(range(2), 0))


def test_it_is_not_stored(problem, tmp_path):
    with pytest.raises(nw.InputError, match="no code ever is"):
        nw.save(off(problem, 1.0), tmp_path / "f.nwidth")


@pytest.mark.parametrize("scales", [True, False], ids=["in place", "another array"])
def test_a_function_that_changes_its_query_answers_the_one_that_was_asked(problem, scales):
    """The certificate would otherwise judge the answer to another query by that query's equation."""
    mu = problem.parameters.sample(range(3), 1)
    before = {name: values.copy() for name, values in mu.items()}

    def function(query):
        for name in query:
            if scales:
                query[name] *= 0.9
            else:
                query[name] = 0.9 * query[name]
        return nw.solve(problem, query).field

    answer = nw.certify(nw.from_function(function, problem), problem).predict(mu)
    for name in mu:
        np.testing.assert_array_equal(answer.mu[name], before[name])
        np.testing.assert_array_equal(mu[name], before[name])
    truth = nw.solve(problem, before).field
    error = problem.space.inner("energy").norm(problem.space.flatten(truth - answer.field))
    assert (error > 0.01).all() and (answer.bound >= error * (1 - 1e-9)).all()


def test_a_problem_in_time_is_answered_at_its_times():
    problem = Stepped(Heat(4), Stepping(0.1, 3))
    mu = problem.parameters.sample(range(2), 0)
    surrogate = nw.from_function(lambda query: 0.5 * problem.solve(query), problem)
    answer = nw.certify(surrogate, problem).predict(mu)
    assert isinstance(answer.space, Trajectories) and answer.field.shape == (2, 3, 5, 5)
    assert np.isfinite(answer.bound).all()
    runs = nw.generate(problem, 12, seed=1)
    calibrated = nw.certify(nw.from_function(lambda query: 0.5 * problem.solve(query), runs), holdout=runs, level=0.8)
    np.testing.assert_allclose(calibrated.predict(mu).space.times, problem.times)
    with pytest.raises(nw.InputError, match=r"expected \(B, 3, 5, 5\)"):
        nw.from_function(lambda query: problem.solve(query)[:, 0], problem).predict(mu)

"""Refinement to a guaranteed tolerance, and what happens where none can be given."""

import numpy as np
import pytest

from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Rigorous
from nwidth.core.prediction import Source, uncertified
from nwidth.online.refine import refine
from nwidth.problems.base import BlackBox
from nwidth.testing.dense import DenseProblem

MU = {"t": np.array([0.0, 0.4, 1.0])}
PROBLEM = DenseProblem(size=40, contrast=50.0, g=0.0)


def start(noise):
    exact = PROBLEM.exact(MU)
    fields = exact + noise * np.random.default_rng(0).normal(size=exact.shape) * (np.arange(41) > 0)
    return uncertified(MU, fields, PROBLEM.space, np.ones(3, bool))


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-9])
def test_every_answer_meets_the_tolerance_with_a_limit_that_holds(rtol):
    answer = refine(start(0.1), PROBLEM, rtol)
    exact = PROBLEM.exact(MU)
    error = PROBLEM.energy_error(MU, exact, answer.field)
    norm = PROBLEM.energy_error(MU, exact, np.zeros_like(exact))
    assert (answer.bound >= error).all() and (error <= rtol * norm).all()
    assert isinstance(answer.guarantee, Rigorous)
    assert (answer.source == Source.REFINED).all() and (answer.stats["iterations"] > 0).all()


def test_an_answer_that_is_good_enough_is_kept_as_it_is():
    begin = start(1e-12)
    answer = refine(begin, PROBLEM, 1e-4)
    np.testing.assert_allclose(answer.field, begin.field, rtol=0, atol=1e-15)
    assert (answer.source == Source.SURROGATE).all() and (answer.stats["iterations"] == 0).all()


def test_refining_to_round_off_gives_the_full_order_solution():
    np.testing.assert_allclose(refine(start(0.1), PROBLEM, 1e-11).field, PROBLEM.exact(MU), rtol=1e-8)


def test_a_field_that_is_not_finite_is_refined_from_zero():
    begin = start(0.1)
    begin.values[1, 3] = np.nan
    assert np.isfinite(refine(begin, PROBLEM, 1e-4).field).all()


def test_a_tolerance_below_round_off_is_missed_loudly():
    with pytest.raises(WorkError, match="missed rtol"):
        refine(start(0.1), PROBLEM, 1e-16)


@pytest.mark.parametrize("rtol", [0.0, -1.0, 2.0, float("nan")])
def test_an_impossible_tolerance_is_refused(rtol):
    with pytest.raises(InputError, match="rtol"):
        refine(start(0.1), PROBLEM, rtol)


def test_a_black_box_is_solved_by_its_own_solver():
    class Own(BlackBox):
        parameters, space = PROBLEM.parameters, PROBLEM.space

        def solve(self, mu):
            return PROBLEM.exact(mu)

    answer = refine(start(0.1), Own(), 1e-4)
    np.testing.assert_array_equal(answer.field, PROBLEM.exact(MU))
    assert (answer.source == Source.FULL_ORDER).all() and (answer.bound > 0).all()

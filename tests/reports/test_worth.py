"""The verdict on invented numbers whose answer is known."""

import math

import pytest

from nwidth.core.errors import InputError
from nwidth.reports.worth import CostPoint, break_even, cheapest, compare, judge, pareto

DIRECT = CostPoint("direct", 0.2, 1e-13)
COARSE = CostPoint("half the grid", 0.02, 3e-2)
FAST = CostPoint("reduced basis", 1e-4, 1e-5, family="surrogate")
BATCH = CostPoint("reduced basis", 1e-5, 1e-5, batch=1000, family="surrogate")


def test_break_even_is_the_first_count_that_pays():
    n = break_even(10.0, 0.1, 0.6)
    assert n == 20
    assert 10.0 + n * 0.1 <= n * 0.6 and 10.0 + (n - 1) * 0.1 > (n - 1) * 0.6


@pytest.mark.parametrize("surrogate", [0.6, 0.7])
def test_a_surrogate_that_is_not_faster_never_pays(surrogate):
    assert break_even(10.0, surrogate, 0.6) == math.inf


def test_pareto_keeps_what_nothing_else_beats():
    slow_and_bad = CostPoint("worse", 0.3, 1e-2)
    assert pareto([DIRECT, slow_and_bad, COARSE, FAST]) == [FAST, DIRECT]


def test_the_rival_is_the_cheapest_solver_of_equal_error():
    assert cheapest([DIRECT, COARSE], 0.05) is COARSE
    assert cheapest([DIRECT, COARSE], 1e-3) is DIRECT
    assert cheapest([COARSE], 1e-9) is COARSE, "where none is as accurate, the most accurate one stands"


def test_a_loose_solver_is_no_rival_for_an_accurate_surrogate():
    accurate = compare(FAST, [DIRECT, COARSE], offline=4.0)
    assert (accurate.rival, accurate.speedup) == (DIRECT, pytest.approx(2000))
    assert accurate.pays_after == math.ceil(4.0 / (0.2 - 1e-4))


def test_a_coarse_solver_of_equal_error_decides_against_a_rough_surrogate():
    rough = CostPoint("operator", 0.03, 0.04, family="surrogate")
    verdict = judge([DIRECT, COARSE, rough], offline=100.0)
    assert verdict.use == "do not use" and verdict.single.rival is COARSE and verdict.pays_after == math.inf
    assert "Do not use" in verdict.headline and "slower" in verdict.reason


def test_without_the_coarse_solver_the_same_surrogate_would_pay():
    rough = CostPoint("operator", 0.03, 0.04, family="surrogate")
    verdict = judge([DIRECT, rough], offline=100.0)
    assert verdict.use == "use" and verdict.pays_after == math.ceil(100 / 0.17)


def test_single_and_batched_are_judged_apart():
    verdict = judge([DIRECT, COARSE, FAST, BATCH], offline=4.0)
    assert verdict.use == "use"
    assert verdict.single.speedup == pytest.approx(2000) and verdict.batched.speedup == pytest.approx(20000)


def test_headline_and_card_name_the_same_count():
    both = judge([DIRECT, COARSE, FAST, BATCH], offline=4.0)
    assert both.pays_after == min(both.single.pays_after, both.batched.pays_after)
    rare = CostPoint("in batches of solves", 0.02, 1e-13, batch=1000)
    batches = judge([DIRECT, rare, BATCH, CostPoint("slow", 0.15, 1e-5, family="surrogate")], offline=0.001)
    assert batches.use == "use in batches" and batches.pays_after == batches.batched.pays_after
    for verdict in (both, batches):
        assert f"after {verdict.pays_after:.0f} cases" in verdict.headline


def test_batches_compete_with_batched_solvers_too():
    together = CostPoint("batched solver", 2e-5, 1e-13, batch=1000)
    verdict = judge([DIRECT, together, BATCH], offline=4.0)
    assert verdict.batched.rival is together and verdict.batched.speedup == pytest.approx(2.0)
    assert verdict.use == "use in batches" and "many cases" in verdict.headline
    assert judge([DIRECT, together, FAST], offline=4.0).single.rival is DIRECT, "one query cannot use a batched solver"


def test_a_gain_within_the_noise_or_never_paid_back_is_not_recommended():
    level = CostPoint("surrogate", 0.16, 1e-13, family="surrogate")
    assert judge([DIRECT, level], offline=0.1).use == "do not use"
    assert judge([DIRECT, FAST], offline=1e6, queries=1e6).use == "do not use"
    assert judge([DIRECT, FAST], offline=1e4, queries=1e6).use == "use"


def test_a_refined_answer_counts_as_the_surrogate():
    refined = CostPoint("refined", 0.01, 1e-13, family="refined")
    assert judge([DIRECT, refined], offline=1.0).single.point is refined


@pytest.mark.parametrize("points", [[DIRECT], [FAST]])
def test_one_side_alone_cannot_be_judged(points):
    with pytest.raises(InputError, match="give at least one|time at least one"):
        judge(points, offline=1.0)


@pytest.mark.parametrize(("seconds", "error"), [(0.0, 1.0), (math.nan, 1.0), (1.0, math.nan), (1.0, -1.0)])
def test_impossible_measurements_are_refused(seconds, error):
    with pytest.raises(InputError, match="expected"):
        CostPoint("x", seconds, error)

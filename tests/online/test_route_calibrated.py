"""Routing where the promise is statistical: accepted or solved, never worse over all queries than the level."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.certificates.conformal_cases import BOX, SPACE, Quadratic, runs, solve

import nwidth as nw
from nwidth.certificates.conformal import calibrate
from nwidth.core.prediction import Source
from nwidth.problems.base import BlackBox


@dataclass(frozen=True)
class Own(BlackBox):
    """The law of the runs as a user's own program, which counts what it solves."""

    solved: list[int]

    @property
    def parameters(self):
        return BOX

    @property
    def space(self):
        return SPACE

    def solve(self, mu):
        self.solved.append(len(mu["a"]))
        return solve(mu)


SURROGATE = Quadratic(degree=3).fit(replace(runs(60, 0), outputs={}))
PROBLEM = Own([])


def certified(count=300, seed=1, norm="max", level=0.9):
    data = replace(runs(count, seed), outputs={})
    return nw.Certified(SURROGATE, calibrate(SURROGATE, data, level=level, norm=norm))


def test_what_misses_is_solved_and_the_rest_is_not():
    fitted, mu = certified(), runs(200, 7).mu
    limits = fitted.predict(mu).bound
    tol = float(np.median(limits))
    PROBLEM.solved.clear()
    answer = nw.Refining(fitted, PROBLEM, atol=tol).predict(mu)
    kept = answer.source == Source.SURROGATE
    np.testing.assert_array_equal(kept, limits <= tol)
    assert PROBLEM.solved == [int((~kept).sum())] and 50 < kept.sum() < 150
    truth = solve(mu)
    np.testing.assert_array_equal(answer.field[~kept], truth[~kept])
    np.testing.assert_array_equal(answer.field[kept], fitted.predict(mu).field[kept])
    np.testing.assert_array_equal(answer.bound[kept], limits[kept])
    assert (answer.bound[~kept] > 0).all() and (answer.bound[~kept] < 1e-13).all()
    assert answer.guarantee == fitted.guarantee


@pytest.mark.parametrize("norm", ["max", "rms", "mass"])
def test_a_relative_tolerance_is_in_the_norm_of_the_limit(norm):
    fitted, mu = certified(norm=norm), runs(100, 7).mu
    plain = fitted.predict(mu)
    size = {
        "max": np.abs(plain.field).max(axis=1),
        "rms": np.sqrt(np.mean(plain.field**2, axis=1)),
        "mass": SPACE.inner("mass").norm(plain.field),
    }[norm]
    rtol = 0.02
    kept = nw.Refining(fitted, PROBLEM, rtol).predict(mu).source == Source.SURROGATE
    np.testing.assert_array_equal(kept, (size > plain.bound) & (plain.bound <= rtol * (size - plain.bound)))
    assert 0 < kept.sum() < 100


def test_over_all_queries_the_limits_hold_as_promised():
    """Fresh calibration and fresh queries each time: misses per query, solved ones included, stay below 1 - level."""
    missed = total = accepted = 0
    for seed in range(30):
        fitted, fresh = certified(60, 100 + seed, level=0.8), replace(runs(100, 1000 + seed), outputs={})
        refining = nw.Refining(fitted, PROBLEM, atol=float(np.median(fitted.predict(fresh.mu).bound)))
        answer = refining.predict(fresh.mu)
        error = np.abs(answer.field - fresh.fields).max(axis=1)
        missed, total = missed + int((error > answer.bound).sum()), total + 100
        covered = refining.coverage(fresh)
        accepted += covered.total
        assert covered.total - covered.held == int((error > answer.bound).sum())
    # among the accepted at least 1 - (1 - level) / share; three standard errors over 30 calibrations
    share = accepted / total
    assert missed / total <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / 60 / 30)
    assert 1 - missed / accepted >= 1 - 0.2 / share - 0.05


def test_queries_outside_are_solved():
    mu = {"a": np.array([0.0, 5.0]), "b": np.zeros(2)}
    answer = nw.Refining(certified(), PROBLEM, atol=1e9).predict(mu)
    assert answer.source.tolist() == [Source.SURROGATE, Source.FULL_ORDER]


def test_what_is_refused():
    with pytest.raises(nw.InputError, match="above zero"):
        nw.Refining(certified(), PROBLEM, atol=0.0).predict(runs(2, 0).mu)
    with pytest.raises(nw.InputError, match="nothing to measure"):
        nw.Refining(certified(), PROBLEM).measured()
    outputs = Quadratic().fit(replace(runs(60, 0), space=nw.spaces.Points((0,)), fields=np.empty((60, 0))))
    data = replace(runs(200, 1), space=nw.spaces.Points((0,)), fields=np.empty((200, 0)))
    certificate = calibrate(outputs, data)
    with pytest.raises(nw.InputError, match="atol"):
        nw.Refining(nw.Certified(outputs, certificate), PROBLEM, 0.1).predict(runs(3, 5).mu)


def test_a_solver_that_fails_is_reported():
    class Stuck(Own):
        def solve(self, mu):
            return np.full((len(mu["a"]), 12), np.nan)

    with pytest.raises(nw.WorkError, match="failed for 3 of 3"):
        nw.Refining(certified(), Stuck([]), atol=1e-12).predict(runs(3, 0).mu)

"""Limits for each lead time: their rank, their coverage on fresh runs, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
from tests.rb.evolution_cases import RandomEvolution

import nwidth as nw
from nwidth.certificates.lead_time import calibrate_lead_times
from nwidth.certificates.quantities import FIELD
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.online.wrappers import Certified
from nwidth.rb.pod_greedy import PODGreedy


@pytest.fixture(scope="module")
def problem():
    return RandomEvolution(size=16, count=20, every=2, scheme="implicit-euler")


@pytest.fixture(scope="module")
def reduced(problem):
    return PODGreedy(tol=None, max_size=5, training=4).fit(problem=problem)


@pytest.fixture(scope="module")
def runs(problem):
    return nw.generate(problem, 60, seed=7)


def errors(problem, surrogate, runs):
    answer = surrogate.predict(runs.mu)
    difference = np.asarray(answer.field) - np.asarray(runs.fields)
    found = {FIELD: problem.space.inner("mass").norm(difference.reshape(-1, 17)).reshape(len(runs), -1)}
    return found | {n: np.abs(o.values - np.asarray(runs.outputs[n])) for n, o in answer.outputs.items()}


def test_each_limit_is_an_order_statistic_of_the_errors_at_its_time(problem, reduced, runs):
    certificate = calibrate_lead_times(reduced, runs, 0.9)
    for name, values in errors(problem, reduced, runs).items():
        np.testing.assert_allclose(certificate.limits[name], np.sort(values, axis=0)[54], rtol=1e-9)  # ⌈61 · 0.9⌉ = 55
    assert certificate.guarantee == Statistical("L² norm, each stored time on its own; each output on its own", 0.9, 60)


@pytest.mark.parametrize("together", [False, True])
def test_fresh_runs_are_covered(problem, reduced, runs, together):
    """Averaged over calibrations: the coverage is Beta distributed with mean at least the level."""
    fresh = nw.generate(problem, 200, seed=8)
    found = errors(problem, reduced, fresh)
    held = {name: [] for name in found}
    pool = nw.generate(problem, 240, seed=9)
    for i in range(8):
        part = pool.take(np.arange(30 * i, 30 * i + 30))
        certificate = calibrate_lead_times(reduced, part, 0.8, together=together)
        for name, values in found.items():
            inside = values <= certificate.limits[name]
            held[name].append(inside.all(axis=1).mean() if together else inside.mean(axis=0))
    for name, shares in held.items():
        assert np.mean(shares) > 0.76, name
        assert np.mean(shares) < 0.93, "and it is not wide for nothing"


def test_all_times_together_need_wider_limits(reduced, runs):
    apart, together = (calibrate_lead_times(reduced, runs, 0.8, together=t) for t in (False, True))
    assert np.median(together.limits["other"] / apart.limits["other"]) > 1
    assert "at all stored times" in str(together.guarantee) and together.calibrated_on == 40


def test_answers_carry_their_limits_in_time(problem, reduced, runs, tmp_path):
    certified = Certified(reduced, calibrate_lead_times(reduced, runs, 0.9))
    nw.save(certified, tmp_path / "model.nwidth")
    again = nw.load(tmp_path / "model.nwidth", kinds=[RandomEvolution])
    mu = problem.parameters.sample(range(3), 1)
    mu["p"][1, 0] = 5.0
    answer = again.predict(mu)
    np.testing.assert_array_equal(answer.outputs["other"].limit[0], certified.certificate.limits["other"])
    assert answer.outputs["other"].limit.shape == (3, 10)
    assert np.isinf(answer.bound).tolist() == [False, True, False] and "outside the range" in answer.reason[1]


def test_what_cannot_be_calibrated_is_refused(problem, reduced, runs):
    with pytest.raises(InputError, match="needs at least 99 calibration runs"):
        calibrate_lead_times(reduced, runs, 0.99)
    with pytest.raises(InputError, match="have no times"):
        calibrate_lead_times(reduced, replace(runs, times=None, fields=np.asarray(runs.fields)[:, 0]))
    other = RandomEvolution(size=16, count=20, every=4)
    with pytest.raises(InputError, match="answers at 5 times, the runs have 10"):
        calibrate_lead_times(reduced.moved_to(other), runs)
    certificate = calibrate_lead_times(reduced, runs)
    with pytest.raises(InputError, match="calibrated for another surrogate"):
        Certified(reduced.truncate(3), certificate)


def test_one_call_certifies_in_any_norm_and_all_times_together(problem, reduced, runs):
    fields = np.abs(reduced.predict(runs.mu).field - np.asarray(runs.fields)).max(axis=2)
    largest = nw.certify(reduced, holdout=runs, level=0.9, norm="max").certificate
    np.testing.assert_allclose(largest.limits[FIELD], np.sort(fields, axis=0)[54], rtol=1e-9)
    assert "largest error anywhere" in str(largest.guarantee)
    together = nw.certify(reduced, holdout=runs, level=0.8, norm="l2", together=True).certificate
    assert together.together and together.norm == "mass"
    with pytest.raises(InputError, match="choose one of mass, max, rms, energy"):
        nw.certify(reduced, holdout=runs, norm="band")
    with pytest.raises(InputError, match="joins the limits of all times"):
        nw.certify(reduced, problem, together=True)

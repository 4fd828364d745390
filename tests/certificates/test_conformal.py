"""Calibrated limits hold as often as they promise on fresh data, and refuse what they cannot promise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta, betabinom
from tests.certificates.conformal_cases import BOX, Quadratic, QuadraticSurrogate, deviation, runs, without_fields

from nwidth.certificates.conformal import ConformalCertificate, calibrate
from nwidth.certificates.quantile import Coverage, coverage, quantile, rank
from nwidth.certificates.quantities import NORMS, Truth, errors_of
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Statistical
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.online.wrappers import Certified
from nwidth.rb.pod_regression import PODRegression
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.points import Points

TRAIN = runs(20, seed=1)
SURROGATE = Quadratic().fit(TRAIN)


def errors(surrogate, data, norm="max", spread=None):
    return errors_of(surrogate.predict(data.mu), Truth(data.fields, data.outputs), norm, spread or {})


def hits(certificate, surrogate, data):
    """How many fresh runs lie within each limit."""
    answer, true = certificate.bound(surrogate.predict(data.mu)), errors(surrogate, data)
    limits = {"field": answer.bound, **{n: o.limit for n, o in answer.outputs.items()}}
    return {name: int(np.sum(true[name] <= limits[name])) for name in limits}


# --- the arithmetic ------------------------------------------------------------------------------------------------


def test_ranks_are_those_of_the_theorem():
    assert [rank(9, 0.9), rank(19, 0.95), rank(20, 0.9), rank(99, 0.9), rank(100, 0.9)] == [9, 19, 19, 90, 91]
    assert quantile(np.array([5.0, 1, 4, 2, 3, 9, 8, 7, 6]), 0.9) == 9.0


def test_a_level_above_n_over_n_plus_one_is_refused():
    with pytest.raises(InputError, match=r"level 0\.9 needs at least 9 calibration runs, got 8.*at most 8/9 = 0\.889"):
        rank(8, 0.9)
    with pytest.raises(InputError, match="at least 99 calibration runs, got 60"):
        calibrate(SURROGATE, runs(60, seed=2), level=0.99)
    for level in (0.0, 1.0, 1.5):
        with pytest.raises(InputError, match="between 0 and 1"):
            calibrate(SURROGATE, runs(60, seed=2), level=level)


def test_the_binomial_interval_is_exact():
    """37 of 40: the interval's ends are where the tails are 2.5 %."""
    from scipy.stats import binom

    low, high = Coverage(37, 40).interval()
    assert binom.sf(36, 40, low) == pytest.approx(0.025, rel=1e-9)
    assert binom.cdf(37, 40, high) == pytest.approx(0.025, rel=1e-9)
    assert Coverage(0, 5).interval()[0] == 0.0 and Coverage(5, 5).interval()[1] == 1.0
    assert str(Coverage(37, 40)) == "held on 37 of 40 unseen runs (92%; 95 % interval 80% to 98%)"
    assert "no runs were left" in str(Coverage(0, 0))
    counted = coverage(np.array([1.0, 2, 3]), np.array([2.0, 1, np.inf]))
    assert (counted.held, counted.total) == (1, 2)


# --- coverage over repeats with fresh data -------------------------------------------------------------------------


def repeat(count, holdout, level, fresh=50):
    """Hits per quantity over `count` repeats: fresh training, calibration and test runs each time."""
    found = {}
    for i in range(count):
        train, held, test = (runs(n, seed=[7, i, j]) for j, n in enumerate((20, holdout, fresh)))
        surrogate = Quadratic().fit(train)
        certificate = calibrate(surrogate, held, level, seed=i, training=train.mu)
        for name, number in hits(certificate, surrogate, test).items():
            found.setdefault(name, []).append(number)
    return {name: np.array(numbers) for name, numbers in found.items()}, certificate.calibrated_on


def check_coverage(numbers, calibrated_on, level, fresh, sigmas=4.0):
    """Given n calibration runs, hits are beta-binomial with k = ⌈(n + 1) level⌉: both sides are checked.

    21 comparisons are made: 4 standard errors come by chance once in 750 such suites, a mutant is 20 away.
    """
    off = deviation(numbers, fresh, calibrated_on, level)
    assert abs(off) < sigmas, f"{off:.1f} standard errors from the law"


def test_coverage_over_repeats_is_beta_binomial():
    numbers, calibrated_on = repeat(40, holdout=60, level=0.9)
    for name in ("field", "peak", "mean"):
        check_coverage(numbers[name], calibrated_on, 0.9, 50)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("holdout", [30, 60])
def test_coverage_over_many_repeats_is_beta_binomial(level, holdout):
    numbers, calibrated_on = repeat(120, holdout, level)
    for name in ("field", "peak", "mean"):
        check_coverage(numbers[name], calibrated_on, level, 50)


def test_calibrating_on_the_training_runs_breaks_the_promise_and_is_refused():
    """The mutant: the law above notices at once that the errors on seen runs are too small."""
    numbers = []
    for i in range(20):
        train, test = runs(20, seed=[8, i]), runs(50, seed=[9, i])
        surrogate = Quadratic().fit(train)
        numbers.append(hits(calibrate(surrogate, train, 0.9), surrogate, test)["field"])
        with pytest.raises(InputError, match="20 of the 20 calibration runs are training runs"):
            calibrate(surrogate, train, 0.9, training=train.mu)
    with pytest.raises(AssertionError, match="standard errors from the law"):
        check_coverage(np.array(numbers), 20, 0.9, 50)


# --- what a limit looks like ---------------------------------------------------------------------------------------


def test_the_limit_differs_from_query_to_query_and_follows_the_error():
    certificate = calibrate(SURROGATE, runs(150, seed=3), training=TRAIN.mu)
    fresh = runs(300, seed=4)
    answer, true = certificate.bound(SURROGATE.predict(fresh.mu)), errors(SURROGATE, fresh)
    assert answer.bound.max() > 3 * answer.bound.min()
    assert np.corrcoef(np.log(answer.bound), np.log(true["field"]))[0, 1] > 0.5
    one_for_all = quantile(errors(SURROGATE, runs(100, seed=5))["field"], 0.9)
    assert np.median(answer.bound) < 0.9 * one_for_all, "typical queries gain from the scale"


def test_with_few_calibration_runs_there_is_one_limit_for_all_and_it_is_the_order_statistic():
    held = runs(30, seed=6)
    certificate = calibrate(SURROGATE, held)
    answer = certificate.bound(SURROGATE.predict(runs(5, seed=0).mu))
    expected = np.sort(errors(SURROGATE, held)["field"])[rank(30, 0.9) - 1]
    np.testing.assert_allclose(answer.bound, expected, rtol=1e-10)
    assert isinstance(answer.guarantee, Statistical) and answer.guarantee.calibrated_on == 30
    assert "Holds for about 90% of cases drawn the same way" in str(answer.guarantee)
    assert "largest error anywhere in the field; each output on its own" in str(answer.guarantee)


def test_no_limit_is_zero_for_an_exact_surrogate():
    data = runs(40, seed=2)
    exact = replace(data, fields=SURROGATE.predict(data.mu).field, outputs={
        n: o.values for n, o in SURROGATE.predict(data.mu).outputs.items()})  # fmt: skip
    answer = calibrate(SURROGATE, exact).bound(SURROGATE.predict(data.mu))
    assert (answer.bound > 0).all() and answer.bound.max() < 1e-10


def test_queries_outside_or_not_finite_get_infinity_alone_with_the_reason():
    certificate = calibrate(SURROGATE, runs(90, seed=3), training=TRAIN.mu)
    mu = {"a": np.array([0.0, 3.0, np.nan, 0.5]), "b": np.zeros(4)}
    answer = certificate.bound(SURROGATE.predict(mu))
    np.testing.assert_array_equal(np.isfinite(answer.bound), [True, False, False, True])
    np.testing.assert_array_equal(np.isfinite(answer.outputs["peak"].limit), [True, False, False, True])
    assert answer.reason[0] == "" and "outside the range" in answer.reason[1]
    broken = SURROGATE.predict({"a": np.zeros(2), "b": np.zeros(2)})
    broken.values[1, 3] = np.inf
    limited = certificate.bound(broken)
    assert limited.reason[1] == "the field is not finite" and limited.bound[1] == np.inf


@pytest.mark.parametrize("norm", sorted(set(NORMS) - {"energy"}))
def test_norms_are_what_their_words_say(norm):
    data = runs(40, seed=2)
    difference = SURROGATE.predict(data.mu).field - data.fields
    weights = data.space.node_measures()
    expected = {
        "max": np.abs(difference).max(axis=1),
        "rms": np.sqrt(np.mean(difference**2, axis=1)),
        "mass": np.sqrt(np.sum(weights * difference**2, axis=1)),
    }[norm]
    np.testing.assert_allclose(errors(SURROGATE, data, norm)["field"], expected, rtol=1e-13)
    limit = calibrate(SURROGATE, data, norm=norm).bound(SURROGATE.predict(data.mu)).bound
    np.testing.assert_allclose(limit, np.sort(expected)[rank(40, 0.9) - 1], rtol=1e-10)


def test_a_vector_fields_largest_error_is_the_length_of_the_vector():
    space = Points((2, 3), names=("x", "y"))
    fields = np.zeros((1, 2, 3))
    fields[0, :, 1] = [3.0, 4.0]
    assert NORMS["max"].measure(fields, space)[0] == 5.0


def test_without_a_field_the_bound_is_that_of_all_outputs_together():
    bare = without_fields(runs(20, seed=1))
    surrogate = Quadratic().fit(bare)
    certificate = calibrate(surrogate, without_fields(runs(60, seed=2)))
    answer = certificate.bound(surrogate.predict(runs(10, seed=3).mu))
    assert np.isfinite(answer.bound).all() and "in units of its spread" in answer.guarantee.norm
    assert set(certificate.scores) == {"all outputs", "peak", "mean"}


# --- whose certificate it is ---------------------------------------------------------------------------------------


def test_another_surrogate_is_refused():
    certificate = calibrate(SURROGATE, runs(60, seed=2))
    other = Quadratic().fit(runs(20, seed=99))
    Certified(SURROGATE, certificate)
    with pytest.raises(InputError, match="calibrated for another surrogate"):
        Certified(other, certificate)
    nudged = replace(SURROGATE, weights=np.nextafter(SURROGATE.weights, np.inf))
    with pytest.raises(InputError, match="calibrated for another surrogate"):
        Certified(nudged, certificate)


def test_a_surrogate_that_cannot_be_stored_is_known_by_its_answers():
    class Own:
        def fit(self, X, Y):
            self.weights = np.linalg.lstsq(np.c_[X, np.ones(len(X))], Y, rcond=None)[0]

        def predict(self, X):
            return np.c_[X, np.ones(len(X))] @ self.weights

    surrogate = PODRegression(regressor=Own()).fit(TRAIN)
    certified = Certified(surrogate, calibrate(surrogate, runs(40, seed=2)))
    assert np.isfinite(certified.predict(runs(3, seed=0).mu).bound).all()
    with pytest.raises(InputError, match="another surrogate"):
        Certified(PODRegression(regressor=Own()).fit(runs(25, seed=5)), certified.certificate)


def test_answers_with_other_quantities_are_refused():
    certificate = calibrate(SURROGATE, runs(60, seed=2))
    bare = Snapshots(BOX, TRAIN.space, TRAIN.mu, TRAIN.fields)
    with pytest.raises(InputError, match="calibrated for field, peak, mean; the answer has field"):
        certificate.bound(Quadratic().fit(bare).predict(TRAIN.mu))
    with pytest.raises(InputError, match="no output 'peak'"):
        calibrate(SURROGATE, bare)


def test_a_file_brings_it_back_with_the_same_limits(tmp_path):
    certificate = calibrate(SURROGATE, runs(120, seed=2), training=TRAIN.mu)
    assert any(d.model is not None for d in certificate.difficulties.values())
    again = load(save(Certified(SURROGATE, certificate), tmp_path / "c.nwidth"), kinds=[QuadraticSurrogate])
    assert isinstance(again.certificate, ConformalCertificate) and again.guarantee == certificate.guarantee
    assert fingerprint(again) == fingerprint(Certified(SURROGATE, certificate))
    mu = runs(20, seed=9).mu
    before, after = Certified(SURROGATE, certificate).predict(mu), again.predict(mu)
    np.testing.assert_array_equal(after.bound, before.bound)
    np.testing.assert_array_equal(after.outputs["peak"].limit, before.outputs["peak"].limit)


def test_runs_that_are_not_finite_and_unknown_norms_are_refused():
    data = runs(60, seed=2)
    fields = data.fields.copy()
    fields[4, 2] = np.nan
    with pytest.raises(InputError, match="1 of 60 runs have values, or answers, that are not finite"):
        calibrate(SURROGATE, replace(data, fields=fields))
    with pytest.raises(InputError, match="norm is 'L7'; choose one of max"):
        calibrate(SURROGATE, data, norm="L7")


def test_the_law_that_the_tests_use():
    """Hits given n calibration runs: the coverage itself is Beta(k, n + 1 - k)."""
    k = rank(60, 0.9)
    assert betabinom(50, k, 61 - k).mean() / 50 == pytest.approx(beta(k, 61 - k).mean())

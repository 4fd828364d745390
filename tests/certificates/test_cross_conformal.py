"""Few runs: leave-one-out calibration keeps its promise, and its compact form is the plain one."""

import numpy as np
import pytest
from tests.certificates.conformal_cases import BOX, Quadratic, QuadraticSurrogate, runs

from nwidth.certificates.cross_conformal import cross_calibrate
from nwidth.certificates.quantities import Truth, errors_of
from nwidth.core.errors import InputError
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.online.wrappers import Certified
from nwidth.rb.pod_regression import PODRegression
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.points import Points


def shares(count, size, level, fresh=50):
    found = []
    for i in range(count):
        surrogate, certificate = cross_calibrate(Quadratic(), runs(size, seed=[3, i]), level)
        test = runs(fresh, seed=[4, i])
        answer = certificate.bound(surrogate.predict(test.mu))
        true = errors_of(surrogate.predict(test.mu), Truth(test.fields, test.outputs), "max", {})
        found.append([np.mean(true["field"] <= answer.bound), np.mean(true["peak"] <= answer.outputs["peak"].limit)])
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.6, 0.8, 0.9])
def test_the_promise_is_kept_over_many_repeats(level):
    found = shares(100, 25, level)
    assert (found.mean(axis=0) + 3 * found.std(axis=0) / 10 >= level).all()


def test_the_promise_is_kept_and_usually_it_is_one_minus_alpha():
    found = shares(15, 20, 0.8)
    error = found.std(axis=0) / np.sqrt(15)
    assert (found.mean(axis=0) + 3 * error >= 0.8).all()
    assert (found.mean(axis=0) < 0.99).all(), "the limits are not merely huge"


def test_the_limit_is_the_formula():
    data = runs(20, seed=1)
    surrogate, certificate = cross_calibrate(Quadratic(), data, level=0.8)
    mu = {"a": np.array([0.3]), "b": np.array([-0.7])}
    answer = surrogate.predict(mu).field[0]
    values = []
    for i in range(20):
        other = Quadratic().fit(data.take(np.arange(20) != i))
        own = {n: v[i : i + 1] for n, v in data.mu.items()}
        left_out = np.abs(other.predict(own).field[0] - data.fields[i]).max()
        values.append(left_out + np.abs(other.predict(mu).field[0] - answer).max())
    expected = np.sort(values)[int(np.ceil(21 * 0.9)) - 1]
    assert certificate.bound(surrogate.predict(mu)).bound[0] == pytest.approx(expected, rel=1e-10)


def test_nineteen_runs_promise_nine_in_ten_and_eighteen_do_not():
    _, certificate = cross_calibrate(Quadratic(), runs(19, seed=1), 0.9)
    assert certificate.guarantee.calibrated_on == 19 and certificate.guarantee.level == 0.9
    with pytest.raises(InputError, match="at least 19 calibration runs, got 18"):
        cross_calibrate(Quadratic(), runs(18, seed=1), 0.9)


def large(count, seed):
    rng = np.random.default_rng(seed)
    mu = {name: rng.uniform(-1, 1, count) for name in BOX.names}
    x = np.linspace(0, 1, 400)
    fields = np.exp(mu["a"])[:, None] * np.sin(3 * x + mu["b"][:, None])
    return Snapshots(BOX, Points((400,), x[:, None]), mu, fields)


def test_the_compact_form_of_the_other_surrogates_is_exact_and_small(tmp_path, monkeypatch):
    data = large(20, seed=0)
    fitter = PODRegression(modes=4)
    surrogate, compact = cross_calibrate(fitter, data)
    assert compact.frame is not None
    monkeypatch.setattr("nwidth.certificates.cross_conformal._frame", lambda others, runs: None)
    _, plain = cross_calibrate(fitter, data)
    queries = large(30, seed=1).mu
    np.testing.assert_allclose(
        compact.bound(surrogate.predict(queries)).bound, plain.bound(surrogate.predict(queries)).bound, rtol=1e-6
    )
    path = save(Certified(surrogate, compact), tmp_path / "c.nwidth")
    assert path.stat().st_size < 0.5 * save(Certified(surrogate, plain), tmp_path / "p.nwidth").stat().st_size
    again = load(path)
    assert fingerprint(again) == fingerprint(Certified(surrogate, compact))
    np.testing.assert_array_equal(again.predict(queries).bound, compact.bound(surrogate.predict(queries)).bound)


def test_another_surrogate_is_refused_and_outside_is_infinite(tmp_path):
    surrogate, certificate = cross_calibrate(Quadratic(), runs(22, seed=1))
    with pytest.raises(InputError, match="another surrogate"):
        Certified(Quadratic().fit(runs(22, seed=2)), certificate)
    answer = Certified(surrogate, certificate).predict({"a": np.array([0.0, 5.0]), "b": np.zeros(2)})
    np.testing.assert_array_equal(np.isfinite(answer.bound), [True, False])
    again = load(save(Certified(surrogate, certificate), tmp_path / "c.nwidth"), kinds=[QuadraticSurrogate])
    np.testing.assert_array_equal(
        again.predict(runs(5, seed=7).mu).bound, certificate.bound(surrogate.predict(runs(5, seed=7).mu)).bound
    )


# --- parts that are left out together -------------------------------------------------------------------------------


def test_the_limit_of_parts_is_the_formula():
    data = runs(65, seed=1)
    surrogate, certificate = cross_calibrate(Quadratic(), data, level=0.6, parts=8)
    assert np.bincount(certificate.part).tolist() == [8] * 8, "64 runs calibrate, one only trains"
    rng = np.random.default_rng([0, 65])
    part = np.r_[np.repeat(np.arange(8), 8), -1][rng.permutation(65)]
    others = [Quadratic().fit(data.take(part != p)) for p in range(8)]
    mu = {"a": np.array([0.3]), "b": np.array([-0.7])}
    answer = surrogate.predict(mu).field[0]
    values = []
    for i in np.flatnonzero(part >= 0):
        other = others[part[i]]
        own = {n: v[i : i + 1] for n, v in data.mu.items()}
        left_out = np.abs(other.predict(own).field[0] - data.fields[i]).max()
        values.append(left_out + np.abs(other.predict(mu).field[0] - answer).max())
    penalty = min(2 * (1 - 1 / 8) / (64 / 8 + 1), (1 - 8 / 64) / 9)
    alpha = (1 - 0.6 - penalty) / 2
    expected = np.sort(values)[int(np.ceil(65 * (1 - alpha))) - 1]
    assert certificate.bound(surrogate.predict(mu)).bound[0] == pytest.approx(expected, rel=1e-10)


def test_parts_keep_their_promise_and_cost_few_fits():
    found = []
    for i in range(20):
        surrogate, certificate = cross_calibrate(Quadratic(), runs(60, seed=[5, i]), 0.7, parts=10)
        test = runs(50, seed=[6, i])
        answer = certificate.bound(surrogate.predict(test.mu))
        found.append(np.mean(np.abs(answer.field - test.fields).max(axis=1) <= answer.bound))
    assert len(certificate.others) == 10 and certificate.guarantee.calibrated_on == 60
    assert np.mean(found) - 3 * np.std(found) / np.sqrt(20) >= 0.7
    assert np.mean(found) < 0.99


def test_as_many_parts_as_runs_are_leave_one_out():
    data = runs(25, seed=1)
    surrogate, alone = cross_calibrate(Quadratic(), data, level=0.8)
    _, parts = cross_calibrate(Quadratic(), data, level=0.8, parts=25)
    answer = surrogate.predict(runs(5, seed=2).mu)
    np.testing.assert_allclose(parts.bound(answer).bound, alone.bound(answer).bound, rtol=1e-12)


def test_levels_that_parts_cannot_promise_are_refused():
    with pytest.raises(InputError, match="cannot be promised by 40 runs in 4 parts: these alone cost 0.14"):
        cross_calibrate(Quadratic(), runs(40, seed=1), 0.9, parts=4)
    with pytest.raises(InputError, match="at least 2 parts"):
        cross_calibrate(Quadratic(), runs(40, seed=1), 0.5, parts=41)


def test_a_file_brings_the_parts_back(tmp_path):
    surrogate, certificate = cross_calibrate(Quadratic(), runs(60, seed=1), 0.7, parts=10)
    again = load(save(Certified(surrogate, certificate), tmp_path / "p.nwidth"), kinds=[QuadraticSurrogate])
    mu = runs(5, seed=7).mu
    np.testing.assert_array_equal(again.predict(mu).bound, certificate.bound(surrogate.predict(mu)).bound)

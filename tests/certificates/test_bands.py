"""A band holds at all values of the field at once, and is narrow where errors are small."""

from dataclasses import replace

import numpy as np
import pytest
from tests.certificates.conformal_cases import Quadratic, QuadraticSurrogate, bare, deviation, runs

from nwidth.certificates.bands import Profile
from nwidth.certificates.conformal import calibrate
from nwidth.certificates.quantile import rank
from nwidth.core.errors import InputError
from nwidth.io.model import load, save
from nwidth.online.certify import certify
from nwidth.online.wrappers import Certified

SURROGATE = Quadratic().fit(bare(20, seed=1))


def inside(certificate, data):
    """Whether each fresh field lies within its band everywhere, and the band."""
    answer = certificate.bound(SURROGATE.predict(data.mu))
    band = certificate.band(answer)
    return (np.abs(answer.field - data.fields) <= band).all(axis=1), band, answer


def test_the_band_holds_everywhere_at_once_as_often_as_it_says():
    hits, single = [], []
    for i in range(60):
        certificate = calibrate(SURROGATE, bare(60, seed=[31, i]), 0.9, seed=i, norm="band", scale="one for all")
        data = bare(50, seed=[32, i])
        ok, band, answer = inside(certificate, data)
        hits.append(ok.sum())
        single.append((np.abs(answer.field - data.fields) <= band)[:, 5].mean())
    assert abs(deviation(hits, 50, 40)) < 4
    assert np.mean(single) > 0.94, "each value on its own is held more often"


def test_the_band_is_the_order_statistic_of_the_largest_error_over_the_profile():
    data = bare(90, seed=3)
    certificate = calibrate(SURROGATE, data, norm="band", scale="one for all")
    order = np.random.default_rng([0, 90]).permutation(90)
    errors = np.abs(SURROGATE.predict(data.mu).field - data.fields)
    widths = {}
    for power in (0, 0.5, 1):
        sigma = np.sqrt(np.mean(errors[order[:30]] ** 2, axis=0)) ** power
        widths[sigma.mean() * np.quantile((errors[order[:30]] / sigma).max(axis=1), 0.9)] = sigma
    sigma = widths[min(widths)]
    score = np.sort((errors[order[30:]] / sigma).max(axis=1))[rank(60, 0.9) - 1]
    _, band, answer = inside(certificate, bare(4, seed=4))
    np.testing.assert_allclose(band, np.broadcast_to(score * sigma, band.shape), rtol=1e-9)
    np.testing.assert_allclose(answer.bound, band.max(axis=1), rtol=1e-12)
    assert "band that holds at all values of the field at once" in str(answer.guarantee)


def test_a_learned_profile_is_narrower_on_average_than_one_width():
    """Errors that grow from left to right: the mean of the profile is half of its largest width."""
    rng = np.random.default_rng(0)
    data, fresh = (
        replace(d, fields=SURROGATE.predict(d.mu).field + rng.standard_normal((len(d), 12)) * np.linspace(0, 1, 12))
        for d in (bare(300, seed=3), bare(200, seed=4))
    )
    ok, shaped, _ = inside(calibrate(SURROGATE, data, norm="band", scale="one for all"), fresh)
    flat = calibrate(SURROGATE, data, norm="max", scale="one for all").bound(SURROGATE.predict(fresh.mu)).bound
    assert shaped.mean() < 0.7 * flat.mean() and ok.mean() > 0.8


def test_the_profile_is_flat_where_that_is_narrower():
    profile = Profile.learned(np.vstack([np.eye(12), 0.9 * np.eye(12)]))
    np.testing.assert_array_equal(profile.sigma, 1.0)


def test_with_few_runs_the_band_has_one_width_and_is_the_limit_of_the_largest_error():
    data = bare(30, seed=3)
    _, band, _ = inside(calibrate(SURROGATE, data, norm="band"), bare(5, seed=4))
    limit = calibrate(SURROGATE, data, norm="max").bound(SURROGATE.predict(bare(5, seed=4).mu)).bound
    np.testing.assert_allclose(band, np.broadcast_to(limit[:, None], band.shape), rtol=1e-12)


def test_profiles_by_hand():
    errors = np.ones((20, 3)) * [2.0, 1.0, 0.0]
    profile = Profile.learned(errors)
    np.testing.assert_allclose(profile.sigma, [1.0, 0.5, 1e-3])
    np.testing.assert_allclose(profile.measure(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 3j]])), [2.0, 3000.0])
    np.testing.assert_allclose(Profile.learned(errors[:4]).sigma, 1.0)
    np.testing.assert_allclose(Profile.learned(0 * errors).sigma, 1.0)
    assert Profile.flat(3).measure(np.empty((0, 3))).shape == (0,)


def test_a_band_needs_a_field_and_to_be_asked_for():
    certificate = calibrate(SURROGATE, bare(40, seed=3))
    with pytest.raises(InputError, match="one limit was calibrated for the whole field"):
        certificate.band(certificate.bound(SURROGATE.predict(bare(2, seed=0).mu)))
    only = Quadratic().fit(runs(20, seed=1))
    with pytest.raises(InputError, match="norm is 'bands'; choose one of max"):
        calibrate(only, runs(40, seed=2), norm="bands")


def test_through_certify_and_a_file(tmp_path):
    certified = certify(SURROGATE, holdout=bare(120, seed=3), norm="band", training=bare(20, seed=1))
    assert isinstance(certified, Certified)
    again = load(save(certified, tmp_path / "b.nwidth"), kinds=[QuadraticSurrogate])
    mu = bare(20, seed=9).mu
    before, after = certified.predict(mu), again.predict(mu)
    np.testing.assert_array_equal(after.bound, before.bound)
    np.testing.assert_array_equal(again.certificate.band(after), certified.certificate.band(before))


def test_another_level_from_the_same_calibration():
    data = bare(120, seed=3)
    certificate = calibrate(SURROGATE, data, 0.9, norm="band")
    mu = bare(20, seed=9).mu
    widths = [certificate.at(level).bound(SURROGATE.predict(mu)).bound for level in (0.5, 0.9, 0.98)]
    assert (widths[0] < widths[1]).all() and (widths[1] < widths[2]).all()
    np.testing.assert_array_equal(widths[1], certificate.bound(SURROGATE.predict(mu)).bound)
    with pytest.raises(InputError, match=r"level 0\.99 needs at least 99"):
        certificate.at(0.99)

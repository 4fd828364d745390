"""Random fields: the published law, the same draw on every grid, and the sets that contain them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from nwidth.core.errors import InputError
from nwidth.spaces.random_field import CosineSeries, LogNormalField, TwoValuedField

FIELDS = [TwoValuedField(resolution=16, modes=32), LogNormalField(resolution=16, modes=32, sigma=0.5)]


def gaussian(law, indices, seed, resolution):
    return law.evaluate(law.draws(indices, seed), resolution)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_series_is_the_inverse_cosine_transform_of_the_published_generator(dim):
    """GRF.m: g = idct2(s · coef · ξ) on s cell centres, which are the odd nodes of a grid of 2 s cells."""
    s, tau, alpha = 8, 3.0, 2.0
    law = CosineSeries(tau, alpha, modes=s, dim=dim)
    xi = np.random.default_rng(0).standard_normal((s,) * dim)
    k2 = sum(k.astype(float) ** 2 for k in np.indices((s,) * dim))
    coefficient = tau ** (alpha - dim / 2) * (np.pi**2 * k2 + tau**2) ** (-alpha / 2)
    spectrum = s ** (dim / 2) * coefficient * xi
    spectrum.flat[0] = 0.0
    expected = scipy.fft.idctn(spectrum, type=2, norm="ortho")
    nodes = law.evaluate([law.deviations() * xi], 2 * s)[0]
    np.testing.assert_allclose(nodes[(slice(1, None, 2),) * dim], expected, atol=1e-14)


def test_variance_over_draws_follows_the_series():
    """The analytic variance at a corner, an edge and the middle, summed here term by term."""
    law = CosineSeries(modes=16)
    draws = gaussian(law, range(4000), 0, 8)
    for node in [(0, 0), (0, 4), (4, 4), (2, 7)]:
        total = 0.0
        for k in np.ndindex(16, 16):
            if k != (0, 0):
                angles = np.pi * np.array(k) * node / 8
                phi = np.prod(np.where(np.array(k) == 0, 1.0, np.sqrt(2) * np.cos(angles)))
                total += 9.0 / (np.pi**2 * (k[0] ** 2 + k[1] ** 2) + 9.0) ** 2 * phi**2
        assert law.variance(8)[node] == pytest.approx(total, rel=1e-12)
        # the relative standard error of a variance over 4000 draws is 2.2 %
        assert draws[:, *node].var() == pytest.approx(total, rel=0.08)
        assert abs(draws[:, *node].mean()) < 4 * np.sqrt(total / 4000)
    assert law.mean_variance() == pytest.approx(np.sum(law.deviations() ** 2))


def test_draws_decorrelate_as_the_covariance_says():
    law = CosineSeries(modes=16)
    draws = gaussian(law, range(4000), 1, 8)
    a, b = law.cosines(8)[0], law.cosines(8)[8]
    covariance = np.einsum("jk,j,j,k,k->", law.deviations() ** 2, a, b, a, b)  # opposite corners
    variance = law.variance(8)[0, 0]
    measured = np.mean(draws[:, 0, 0] * draws[:, 8, 8])
    assert abs(measured - covariance) < 4 * variance / np.sqrt(4000)


def test_the_same_draw_exists_on_every_grid():
    law = CosineSeries()
    coarse, fine = gaussian(law, range(5), 7, 64), gaussian(law, range(5), 7, 128)
    np.testing.assert_allclose(fine[:, ::2, ::2], coarse, rtol=0, atol=1e-12)
    odd = gaussian(law, range(2), 7, 96)
    np.testing.assert_allclose(odd[:, ::3, ::3], coarse[:2, ::2, ::2], rtol=0, atol=1e-12)
    for field in FIELDS:
        a, b = field.sample(range(4), 2)["a"], field.at(64).sample(range(4), 2)["a"]
        np.testing.assert_allclose(b[:, ::4, ::4], a, rtol=1e-12)


@pytest.mark.parametrize("field", FIELDS)
def test_a_draw_does_not_depend_on_its_batch(field):
    batch, single = field.sample(range(6), 5)["a"], field.sample([4], 5)["a"]
    np.testing.assert_array_equal(batch[4], single[0])
    assert not np.array_equal(batch[4], field.sample([4], 6)["a"][0])
    assert field.sample([], 5)["a"].shape == (0, 17, 17)


def test_two_values_each_on_half_of_the_domain():
    values = TwoValuedField(modes=32).sample(range(400), 0)["a"]
    assert set(np.unique(values)) == {3.0, 12.0}
    # the sign is symmetric at every node; the mean over the domain varies by about 0.9 from draw to draw
    assert values.mean() == pytest.approx(7.5, abs=0.15)
    np.testing.assert_allclose((values == 12).mean(axis=0), 0.5, atol=0.13)


def test_log_normal_has_the_deviation_that_is_asked_for():
    field = LogNormalField(resolution=16, modes=64, sigma=0.7, median=2.0)
    logs = np.log(field.sample(range(1500), 0)["a"] / 2.0)
    weights = np.full((17, 17), 1.0)  # of a trapezoidal mean over the domain
    weights[[0, -1]] *= 0.5
    weights[:, [0, -1]] *= 0.5
    assert np.sum(weights * logs.var(axis=0)) / np.sum(weights) == pytest.approx(0.49, rel=0.06)


@pytest.mark.parametrize("field", FIELDS)
def test_draws_are_inside_and_strangers_outside(field):
    draws = field.sample(range(300), 9)["a"]
    assert field.contains({"a": draws}).all()
    assert (field.describe({"a": draws}) == "").all()
    strange = draws[:4].copy()
    strange[0, 3, 4], strange[1, 0, 0], strange[2, 1, 1] = np.nan, field.limits[1] * 1.01, field.limits[0] * 0.99
    assert field.contains({"a": strange}).tolist() == [False, False, False, True]
    assert field.describe({"a": strange})[0].startswith("a = nan at node (3, 4) is outside your range")
    assert not field.at(32).contains({"a": draws[:2]}).any()
    assert field.at(32).describe({"a": draws[:1]})[0] == "a has shape (17, 17), yours is (33, 33)"


@pytest.mark.parametrize("field", FIELDS)
def test_round_trip_through_json(field):
    config, arrays, children = field.to_parts()
    again = type(field).from_parts(json.loads(json.dumps(config)), arrays, children)
    assert again == field
    np.testing.assert_array_equal(again.sample([3], 1)["a"], field.sample([3], 1)["a"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoValuedField(low=0.0), "0 < low <= high"),
        (lambda: TwoValuedField(low=5.0, high=4.0), "0 < low <= high"),
        (lambda: TwoValuedField(alpha=1.0), "infinite variance"),
        (lambda: TwoValuedField(resolution=1), "at least 2"),
        (lambda: replace(FIELDS[1], sigma=-1.0), "sigma = -1"),
        (lambda: LogNormalField(modes=1), "2 modes"),
        (lambda: LogNormalField(tau=0.0), "tau above zero"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()

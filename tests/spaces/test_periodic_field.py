"""Random periodic fields: the published laws, and the same draw on every grid."""

import json

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.problems.navier_stokes import NavierStokes
from nwidth.spaces.periodic_field import FourierSeries, PeriodicField


def summed(law, coefficients, x):
    """Σ Re(c_k exp(2πi k·x)), term by term, at points x `(n, dim)`."""
    total = np.zeros(len(x))
    for place in np.ndindex(coefficients.shape):
        k = [i if i <= law.modes else i - (2 * law.modes + 1) for i in place]
        total += np.real(coefficients[place] * np.exp(2j * np.pi * (x @ np.array(k))))
    return total


@pytest.mark.parametrize(("dim", "resolution"), [(1, 4), (1, 13), (2, 4), (2, 9), (3, 3)])
def test_values_are_the_series_term_by_term(dim, resolution):
    """On grids that resolve all modes and on grids that do not."""
    law = FourierSeries(2.0, 3.0, 2.5, modes=3, dim=dim)
    (coefficients,) = law.draws([7], 5)
    points = np.stack(np.meshgrid(*[np.arange(resolution) / resolution] * dim, indexing="ij"), -1).reshape(-1, dim)
    fields = law.evaluate([coefficients], resolution)
    assert fields.shape == (1, *(resolution,) * dim)
    np.testing.assert_allclose(fields.ravel(), summed(law, coefficients, points), atol=1e-13)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_pair_of_opposite_waves_is_drawn_once(dim):
    law = FourierSeries(modes=2, dim=dim)
    drawn = {tuple(k) for k in np.argwhere(law.deviations() > 0) % 5}
    opposite = {tuple(-i % 5 for i in k) for k in drawn}
    assert not drawn & opposite
    assert len(drawn) == (5**dim - 1) // 2


def test_burgers_law_has_the_published_deviations():
    """GRF1.m: √2 σ ((2πk)² + τ²)^(-γ/2) for sine and cosine of wave k."""
    law = FourierSeries(25.0, 5.0, 2.0, modes=16, dim=1)
    k = np.arange(1, 17)
    np.testing.assert_allclose(law.deviations()[1:], np.sqrt(2) * 25 * ((2 * np.pi * k) ** 2 + 25) ** -1.0, rtol=1e-14)
    assert law.deviations()[0] == 0


def published_vorticity(generator, s):
    """The law as the published generator draws it: complex normal numbers for all modes, the real part of their sum."""
    k = np.fft.fftfreq(s, 1 / s)
    k2 = k[:, None] ** 2 + k**2
    eigen = s**2 * np.sqrt(2.0) * 7**1.5 * (4 * np.pi**2 * k2 + 49) ** -1.25
    eigen[0, 0] = 0.0
    numbers = generator.standard_normal((2, s, s))
    return np.fft.ifft2(eigen * (numbers[0] + 1j * numbers[1])).real, eigen / s**2


def test_vorticity_law_is_that_of_the_published_generator():
    """Equal covariance, hence equal law: of both, the power of every pair of opposite modes."""
    law = NavierStokes(modes=31).parameters.law
    _, per_mode = published_vorticity(np.random.default_rng(0), 64)
    deviations = law.deviations()
    for k0, k1 in [(1, 0), (0, 1), (3, 5), (-4, 2), (31, 31)]:
        place = (k0 % 63, k1)
        # cos and sin each collect the real parts of two independent complex coefficients
        np.testing.assert_allclose(deviations[place] ** 2, 2 * per_mode[k0, k1] ** 2, rtol=1e-13)
    assert abs(NavierStokes().parameters.law.variance() / 0.0686 - 1) < 1e-3


def test_pointwise_variance_of_the_vorticity_on_a_small_grid():
    law = NavierStokes(modes=15).parameters.law
    draws = law.evaluate(law.draws(range(1000), 0), 8)
    assert abs(draws.var() / law.variance() - 1) < 0.03
    rng = np.random.default_rng(1)
    theirs = np.stack([published_vorticity(rng, 32)[0][::4, ::4] for _ in range(1000)])
    assert abs(draws.var() / theirs.var() - 1) < 0.05


@pytest.mark.slow
def test_pointwise_variance_of_four_thousand_vorticities():
    """0.0686 within 2 %, with the problem's own modes."""
    parameters = NavierStokes().parameters.at(16)
    sums = np.zeros((2, 16, 16))
    for first in range(0, 4000, 100):
        fields = parameters.sample(range(first, first + 100), 3)["w0"]
        sums += fields.sum(axis=0), (fields**2).sum(axis=0)
    variance = (sums[1] - sums[0] ** 2 / 4000) / 3999
    assert abs(variance.mean() / 0.0686 - 1) < 0.02
    assert abs(variance / 0.0686 - 1).max() < 0.1


@pytest.mark.parametrize("dim", [1, 2])
def test_the_same_draw_exists_on_every_grid(dim):
    space = PeriodicField(resolution=12, modes=20, dim=dim)
    fine, coarse = space.at(48), space.at(6)
    a, b, c = (s.sample([2, 9], 4)["u0"] for s in (space, fine, coarse))
    every = (slice(None), *(slice(None, None, 4),) * dim)
    np.testing.assert_allclose(b[every], a, atol=1e-13)
    np.testing.assert_allclose(a[(slice(None), *(slice(None, None, 2),) * dim)], c, atol=1e-13)


def test_a_sample_depends_on_seed_and_index_alone():
    space = PeriodicField(resolution=8, modes=6)
    many = space.sample(range(5), 1)["u0"]
    np.testing.assert_array_equal(space.sample([3, 1], 1)["u0"], many[[3, 1]])
    assert abs(space.sample([3], 2)["u0"] - many[3]).max() > 1e-3
    assert space.sample([], 1)["u0"].shape == (0, 8, 8)


def test_membership_and_round_trip():
    space = PeriodicField("w", 8, 2.0, 3.0, 2.5, 6, 2)
    fields = space.sample(range(3), 0)["w"]
    fields[1, 2, 2] = np.nan
    assert space.contains({"w": fields}).tolist() == [True, False, True]
    assert space.contains({"w": fields[:, :4]}).tolist() == [False] * 3
    config = json.loads(json.dumps(space.to_parts().config))
    assert PeriodicField.from_parts(config, {}, {}) == space


def test_bad_input_is_named():
    for make, message in [
        (lambda: PeriodicField(resolution=1), "at least 2"),
        (lambda: PeriodicField(dim=4), "dim 1 to 3"),
        (lambda: PeriodicField(gamma=1.0), "infinite variance"),
        (lambda: PeriodicField(sigma=0.0), "sigma above"),
    ]:
        with pytest.raises(InputError, match=message):
            make()


def test_which_fields_belong_to_it_also_of_an_empty_batch():
    space = PeriodicField("w", 8, modes=2)
    fields = space.sample(range(3), 0)["w"].copy()
    fields[1, 2, 2] = np.nan
    assert space.contains({"w": fields}).tolist() == [True, False, True]
    assert space.contains({"w": fields[:0]}).shape == (0,)
    assert not space.contains({"w": fields[:, :4]}).any()

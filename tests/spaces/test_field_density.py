"""Fields that a surrogate was not trained on are told from those that it was; the stated level holds."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwidth.core.errors import InputError
from nwidth.spaces.field_density import FieldDensity, fit_density
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.random_field import LogNormalField, RandomField, TwoValuedField

SMOOTH = LogNormalField(resolution=24, sigma=0.5, alpha=3.0, modes=24)
JUMPS = TwoValuedField(resolution=48, modes=48)


def draws(law, count=60, start=10_000):
    return law.sample(range(start, start + count), seed=1)[law.name]


@cache
def fitted(law: RandomField) -> FieldDensity:
    return fit_density(law.sample(range(800), seed=1)[law.name])


@pytest.mark.parametrize(
    ("known", "shifted", "least"),
    [
        (SMOOTH, replace(SMOOTH, tau=6.0), 0.98),
        (SMOOTH, replace(SMOOTH, tau=1.0), 0.75),
        (SMOOTH, replace(SMOOTH, sigma=1.0), 0.9),
        (SMOOTH, replace(SMOOTH, alpha=2.0), 0.98),
        (JUMPS, replace(JUMPS, low=6.0), 1.0),
        (JUMPS, replace(JUMPS, tau=30.0), 0.9),
    ],
    ids=["shorter", "longer", "contrast", "rougher", "smaller jumps", "shorter, jumps"],
)
def test_another_law_is_outside(known, shifted, least):
    density = fitted(known)
    assert 1 - density.typical(draws(shifted)).mean() >= least
    assert density.typical(draws(known, 200)).mean() >= density.level - 0.01


@pytest.mark.parametrize(
    "change",
    [
        lambda a: 1.1 * a,
        lambda a: a**2,
        lambda a: (a + np.roll(a, 1, axis=1)) / 2,
        lambda a: np.where(a > 1, 1.5, 0.7),
        lambda a: np.full_like(a, 1.0),
        lambda a: np.exp(np.random.default_rng(0).permuted(np.log(a).reshape(len(a), -1), axis=1)).reshape(a.shape),
    ],
    ids=["scaled", "squared", "smoothed", "two values", "constant", "shuffled"],
)
def test_changed_fields_are_outside(change):
    density = fitted(SMOOTH)
    assert density.typical(change(draws(SMOOTH))).mean() <= 0.05


def test_jumps_that_were_smoothed_are_told_from_jumps():
    """The range and the roughness stay much the same; values between the two do not occur in the training."""
    fields = draws(JUMPS, 20)
    spline = (fields + np.roll(fields, 1, axis=1)) / 2
    density = fitted(JUMPS)
    assert density.typical(fields).mean() >= 0.95 and not density.typical(spline).any()
    assert "share of extreme values 0." in density.describe(spline)[0]


def test_what_is_not_a_number_is_outside():
    fields = draws(SMOOTH, 4)
    fields[0, 3, 3], fields[1, 0, 0], fields[2, 5, 5] = np.nan, np.inf, -1.0
    assert fitted(SMOOTH).typical(fields).tolist() == [False, False, False, True]
    assert "not finite or not positive" in fitted(SMOOTH).describe(fields)[0]


def test_the_level_holds_over_many_fits():
    """Of fields drawn the same way at least `level` are inside, averaged over fits, with few fields and many."""
    for count, level in ((100, 25 / 26), (200, 0.9)):
        inside = []
        for seed in range(12):
            fields = SMOOTH.sample(range(count + 200), seed)["a"]
            density = fit_density(fields[:count], None if count == 100 else level, seed)
            assert density.level == pytest.approx(level)
            inside.append(density.typical(fields[count:]).mean())
        # 12 fits with 200 fields each: three standard errors of a share, and of the fits among themselves
        assert np.mean(inside) >= level - 3 * np.sqrt(level * (1 - level) / 25 / 12)
        assert np.mean(inside) < 1.0 or count == 100


@settings(max_examples=12, deadline=None)
@given(
    shape=st.sampled_from([(70,), (9, 11), (5, 6, 4), (3, 30, 2)]),
    count=st.integers(100, 160),
    scale=st.floats(1e-6, 1e6),
    shift=st.floats(-1e3, 1e3),
    kind=st.sampled_from(["white", "rank one", "heavy", "complex"]),
    seed=st.integers(0, 99),
)
def test_the_level_holds_for_any_law(shape, count, scale, shift, kind, seed):
    rng = np.random.default_rng(seed)

    def sample(n):
        if kind == "rank one":
            return scale * rng.standard_normal((n, *[1] * len(shape))) * np.ones(shape) + shift
        if kind == "heavy":
            return scale * rng.standard_t(2, (n, *shape)) + shift
        x = scale * rng.standard_normal((n, *shape)) + shift
        return x + 1j * sample_imag(n) if kind == "complex" else x

    def sample_imag(n):
        return scale * rng.standard_normal((n, *shape))

    density = fit_density(sample(count), seed=seed)
    fresh = density.typical(sample(400))
    # at least n / (n + 1) on average; for one fit a Beta(n, 1) law, whose chance below 0.8 is 0.8^25 = 0.004
    assert fresh.mean() >= 0.8
    assert not density.typical(sample(5) + 100 * scale * count).any()


def test_a_batch_tells_what_single_fields_do_not():
    """A little rougher: one field may pass, sixty together do not; sixty of the same law do."""
    density, shifted = fitted(SMOOTH), replace(SMOOTH, alpha=2.85)
    p, words = density.drift(draws(shifted))
    assert density.typical(draws(shifted)).mean() > 0.5 and p < 1e-4 and words
    same = [density.drift(draws(SMOOTH, 60, start))[0] for start in range(20_000, 20_600, 60)]
    assert np.mean(np.array(same) < 0.1) <= 0.3 and min(same) > 1e-3


def test_words_name_what_is_unusual():
    density = fitted(SMOOTH)
    assert "mean 1.5" in density.describe(1.5 * draws(SMOOTH, 1))[0]
    assert "smallest value 6, about 3" in fitted(JUMPS).describe(draws(replace(JUMPS, low=6.0), 1))[0]
    rough = density.describe(draws(replace(SMOOTH, tau=9.0), 1))[0]
    assert "times that of the training fields" in rough
    assert density.describe(draws(SMOOTH, 1)) == [""]


def test_training_fields_of_which_some_are_constant():
    fields = SMOOTH.sample(range(400), seed=0)["a"]
    fields[::4] = 1.0
    density = fit_density(fields)
    assert np.isfinite(density.limit) and density.typical(fields).mean() > 0.97
    assert not density.typical(np.full((1, 25, 25), 1e300)).any()


def test_large_fields_are_thinned_out_for_the_components_only():
    law = SMOOTH.at(80)
    fields = law.sample(range(160), seed=0)["a"]
    density = fit_density(fields)
    assert density.basis.shape[1] <= 1500 and density.shape == (81, 81)
    checkered = fields[:20] * np.exp(0.2 * (np.indices((81, 81)).sum(axis=0) % 2))
    assert not density.typical(checkered).any()


def test_what_cannot_be_fitted_is_refused():
    fields = SMOOTH.sample(range(100), seed=0)["a"]
    with pytest.raises(InputError, match="at least 100"):
        fit_density(fields[:99])
    with pytest.raises(InputError, match="all fields are the same"):
        fit_density(np.ones((120, 9, 9)))
    with pytest.raises(InputError, match="up to 0.962"):
        fit_density(fields, level=0.99)
    with pytest.raises(InputError, match="not finite"):
        fit_density(np.where(np.arange(100)[:, None, None] == 7, np.nan, fields))


def test_periodic_fields_that_change_sign():
    law = PeriodicField(resolution=16, tau=3.0, gamma=2.5, modes=8)
    density = fit_density(law.sample(range(400), seed=0)["u0"])
    assert not density.logarithm
    assert density.typical(law.sample(range(500, 600), seed=0)["u0"]).mean() > 0.96
    assert not density.typical(1.8 * law.sample(range(500, 520), seed=0)["u0"]).all()

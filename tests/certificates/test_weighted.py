"""Weighted calibration: the formula of the paper, coverage under the stated shift, and what it refuses."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from tests.certificates.conformal_cases import BOX, Quadratic, QuadraticSurrogate, bare, deviation, solve

from nwidth.certificates.conformal import calibrate
from nwidth.certificates.quantile import rank
from nwidth.certificates.weighted import BetweenBoxes, LearnedShift, Shift
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Statistical
from nwidth.core.storable import Parts
from nwidth.io.model import load, save
from nwidth.online.wrappers import Certified
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box

TARGET = Box(("a", "b"), low=(0.4, -1.0), high=1.0)
SHIFT = BetweenBoxes(BOX, TARGET)


@dataclass(frozen=True)
class Tilt(Shift):
    """Queries by the density `exp(2 a)`."""

    kind: ClassVar[str] = "test-tilt"

    def ratio(self, mu):
        return np.exp(2 * mu["a"])

    def to_parts(self):
        return Parts({}, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls()


SURROGATE = Quadratic().fit(bare(20, seed=1))


def errors(data):
    return np.abs(SURROGATE.predict(data.mu).field - data.fields).max(axis=1)


def shifted(count, seed):
    """Fresh queries where the target box is."""
    rng = np.random.default_rng(seed)
    mu = {"a": rng.uniform(0.4, 1, count), "b": rng.uniform(-1, 1, count)}
    return Snapshots(BOX, bare(1, 0).space, mu, solve(mu))


def tilted(count, seed):
    """Fresh queries with density proportional to exp(2 a) on (-1, 1), by inversion."""
    rng = np.random.default_rng(seed)
    low, high = np.exp(-2.0), np.exp(2.0)
    mu = {"a": np.log(low + (high - low) * rng.uniform(size=count)) / 2, "b": rng.uniform(-1, 1, count)}
    return Snapshots(BOX, bare(1, 0).space, mu, solve(mu))


def test_the_limit_is_the_weighted_quantile_with_the_query_at_infinity():
    """Tibshirani et al. 2019, equation (6): the quantile of Σ p_i δ(s_i) + p δ(∞)."""
    data = bare(30, seed=2)
    certificate = calibrate(SURROGATE, data, 0.7, shift=Tilt(), scale="one for all")
    answer = certificate.bound(SURROGATE.predict({"a": np.linspace(-1, 1, 9), "b": np.zeros(9)}))
    scores, weights = errors(data), np.exp(2 * data.mu["a"])
    for a, bound in zip(answer.mu["a"], answer.bound, strict=True):
        own = np.exp(2 * a)
        p = weights / (weights.sum() + own)
        fits = [s for s in scores if p[scores <= s].sum() >= 0.7]
        assert bound == pytest.approx(min(fits, default=np.inf), rel=1e-10)


def test_between_boxes_only_the_runs_inside_count():
    data = bare(90, seed=2)
    certificate = calibrate(SURROGATE, data, 0.8, shift=SHIFT, scale="one for all")
    order = np.random.default_rng([0, 90]).permutation(90)[30:]
    own = np.sort(errors(data)[order][data.mu["a"][order] >= 0.4])
    answer = certificate.bound(SURROGATE.predict(shifted(5, seed=3).mu))
    np.testing.assert_allclose(answer.bound, own[rank(len(own), 0.8) - 1], rtol=1e-10)
    assert certificate.cutoff.effective == pytest.approx(len(own))
    assert isinstance(answer.guarantee, Statistical) and f"worth {len(own)}" in str(answer.guarantee)


def test_logarithmic_boxes_have_the_density_of_their_draws():
    source, target = Box(("k",), 1.0, 100.0), Box(("k",), 1.0, 100.0, log=True)
    ratio = BetweenBoxes(source, target).ratio({"k": np.array([2.0, 20.0, 500.0])})
    assert ratio[0] / ratio[1] == pytest.approx(10.0) and not ratio[2] > 0
    draws = source.sample(range(4000), 0)["k"]
    weights = BetweenBoxes(source, target).ratio({"k": draws})
    expected = (100 - 1) / np.log(100)  # the mean of a logarithmic draw
    assert np.sum(weights * draws) / weights.sum() == pytest.approx(expected, rel=0.05)


def hits(count, fresh, draw, **options):
    found, calibrated = [], []
    for i in range(count):
        certificate = calibrate(SURROGATE, bare(150, seed=[21, i]), 0.9, seed=i, scale="one for all", **options)
        data = draw(fresh, seed=[22, i])
        found.append(np.sum(errors(data) <= certificate.bound(SURROGATE.predict(data.mu)).bound))
        calibrated.append(int(np.sum(getattr(certificate.cutoff, "weights", np.ones(100)) > 0)))
    return np.array(found), calibrated


def test_coverage_under_the_stated_shift_keeps_to_its_law_and_without_weights_it_is_lost():
    found, calibrated = hits(60, 40, shifted, shift=SHIFT)
    assert abs(deviation(found, 40, calibrated)) < 4
    assert hits(20, 40, shifted)[0].mean() / 40 < 0.8


def test_a_smooth_shift_keeps_its_promise_known_or_learned():
    for shift in (Tilt(), LearnedShift.of(bare(400, seed=5).mu, tilted(400, seed=6).mu)):
        share = hits(60, 40, tilted, shift=shift)[0].mean() / 40
        assert 0.88 < share < 0.95, type(shift).__name__
    assert hits(60, 40, tilted)[0].mean() / 40 < 0.83


def test_the_learned_ratio_is_close_to_the_true_one_and_makes_an_estimate():
    learned = LearnedShift.of(bare(2000, seed=5).mu, tilted(2000, seed=6).mu)
    mu = bare(300, seed=7).mu
    ratio = learned.ratio(mu) / np.exp(2 * mu["a"])
    assert np.std(np.log(ratio)) < 0.15
    certificate = calibrate(SURROGATE, bare(90, seed=2), 0.8, shift=learned)
    assert isinstance(certificate.guarantee, Estimate) and "this one was learned" in str(certificate.guarantee)


def test_queries_that_the_shift_never_draws_have_no_limit():
    certificate = calibrate(SURROGATE, bare(120, seed=2), 0.8, shift=SHIFT)
    answer = certificate.bound(SURROGATE.predict({"a": np.array([0.5, -0.5, 3.0]), "b": np.zeros(3)}))
    np.testing.assert_array_equal(np.isfinite(answer.bound), [True, False, False])
    assert answer.reason[0] == "" and "never draws this query" in answer.reason[1]
    assert "outside the range" in answer.reason[2]


def test_levels_that_the_weighted_runs_cannot_promise_are_refused():
    with pytest.raises(InputError, match=r"the 40 calibration runs are worth .* and level 0\.95 needs 19"):
        calibrate(SURROGATE, bare(60, seed=2), 0.95, shift=SHIFT, scale="one for all")
    with pytest.raises(InputError, match="leaves that of the runs; no weight can make up"):
        BetweenBoxes(TARGET, BOX)
    with pytest.raises(InputError, match="have names"):
        BetweenBoxes(BOX, Box(("k",), 0.0, 1.0))


def test_what_is_no_density_ratio_is_refused():
    class Negative(Tilt):
        def ratio(self, mu):
            return -np.exp(mu["a"])

    class Nothing(Tilt):
        def ratio(self, mu):
            return np.zeros(len(mu["a"]))

    with pytest.raises(InputError, match="ratio of two densities"):
        calibrate(SURROGATE, bare(60, seed=2), shift=Negative(), scale="one for all")
    with pytest.raises(InputError, match="no calibration run lies where the queries do"):
        calibrate(SURROGATE, bare(60, seed=2), shift=Nothing(), scale="one for all")


@pytest.mark.parametrize(
    "shift", [SHIFT, Tilt(), LearnedShift.of(bare(50, 5).mu, tilted(50, 6).mu)], ids=lambda s: s.kind
)
def test_a_file_brings_the_shift_back(tmp_path, shift):
    certified = Certified(SURROGATE, calibrate(SURROGATE, bare(150, seed=3), 0.8, shift=shift))
    again = load(save(certified, tmp_path / "w.nwidth"), kinds=[QuadraticSurrogate, Tilt])
    mu = bare(20, seed=9).mu
    np.testing.assert_array_equal(again.predict(mu).bound, certified.predict(mu).bound)
    assert again.guarantee == certified.guarantee

"""Gauss-Radau and Gauss-Lobatto factors against quadrature rules formed densely, in extended precision."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwidth.bounds.gauss_radau import SHRINK, STRETCH, GaussRadau


def steps_of(values, weights, count):
    """Lengths γ_k, ratios δ_k+1 and squared errors over ρ_k of exact CG for a diagonal matrix, to 40 digits."""
    with mp.workdps(40):
        d, b = [mp.mpf(float(v)) for v in values], [mp.mpf(float(w)) for w in weights]
        x, r = [mp.mpf(0)] * len(d), list(b)
        p, rho, out = list(r), sum(v * v for v in r), []
        for _ in range(count):
            error = sum((bi / di - xi) ** 2 * di for bi, di, xi in zip(b, d, x, strict=True))
            step = rho / sum(di * pi * pi for di, pi in zip(d, p, strict=True))
            x = [xi + step * pi for xi, pi in zip(x, p, strict=True)]
            r = [ri - step * di * pi for ri, di, pi in zip(r, d, p, strict=True)]
            new = sum(v * v for v in r)
            out.append((float(step), float(new / rho), float(error / rho)))
            p, rho = [ri + new / rho * pi for ri, pi in zip(r, p, strict=True)], new
            if rho < mp.mpf(10) ** -25:
                break
    return out


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), size=st.integers(3, 12), contrast=st.floats(1.5, 1e6), slack=st.sampled_from([0, 0.3])
)
def test_both_rules_bound_the_error_and_lobatto_is_the_smaller(seed, size, contrast, slack):
    rng = np.random.default_rng(seed)
    values = np.sort(np.exp(rng.uniform(0, np.log(contrast), size)))
    radau = GaussRadau(np.array([values[0] * (1 - slack)]), np.array([values[-1] * (1 + slack)]))
    for step, ratio, error in steps_of(values, rng.normal(size=size) + 0.1, min(size - 1, 8)):
        first, second = radau.factor[0], radau.lobatto(np.array([step]))[0]
        assert error <= second <= first <= 1.0 / (SHRINK * values[0] * (1 - slack)) * (1 + 1e-12)
        radau.advance(np.array([step]), np.array([ratio]))


def test_lobatto_equals_the_quadrature_rule_with_both_ends_prescribed():
    """The extended Lanczos matrix with both ends among its eigenvalues, formed densely."""
    values, weights = np.geomspace(1.0, 30.0, 14), np.random.default_rng(1).normal(size=14)
    low, high = 0.9, 33.0
    radau = GaussRadau(np.array([low / SHRINK]), np.array([high / STRETCH]))
    steps, ratios = [], []
    for step, ratio, _ in steps_of(values, weights, 6):
        found = radau.lobatto(np.array([step]))[0]
        steps.append(step)
        np.testing.assert_allclose(found, _dense(steps, ratios, low, high), rtol=1e-8)
        radau.advance(np.array([step]), np.array([ratio]))
        ratios.append(ratio)


def _dense(steps, ratios, low, high):
    """Lobatto rule less what the steps before have removed, over ρ of the present one."""
    n = len(steps)
    t = np.diag([1 / steps[k] + (ratios[k - 1] / steps[k - 1] if k else 0) for k in range(n)])
    for k in range(n - 1):
        t[k, k + 1] = t[k + 1, k] = np.sqrt(ratios[k]) / steps[k]
    unit = np.eye(n)[:, -1]
    d, c = (np.linalg.solve(t - end * np.eye(n), unit)[-1] for end in (low, high))
    omega, square = np.linalg.solve([[1, -d], [1, -c]], [low, high])
    whole = np.zeros((n + 1, n + 1))
    whole[:n, :n], whole[n, n] = t, omega
    whole[n - 1, n] = whole[n, n - 1] = np.sqrt(square)
    ends = np.linalg.eigvalsh(whole)
    np.testing.assert_allclose([ends[0], ends[-1]], [low, high], rtol=1e-8)
    before = np.linalg.inv(t[:-1, :-1])[0, 0] if n > 1 else 0.0
    return (np.linalg.inv(whole)[0, 0] - before) / np.prod(ratios[: n - 1])


def test_at_the_start_lobatto_is_the_chord_of_the_reciprocal():
    low, high, curvature = 2.0, 9.0, 5.0
    radau = GaussRadau(np.array([low / SHRINK]), np.array([high / STRETCH]))
    found = radau.lobatto(np.array([1 / curvature]))[0]
    assert found == pytest.approx((low + high - curvature) / (low * high), rel=1e-12)


def test_without_an_upper_end_lobatto_is_radau():
    radau = GaussRadau(np.array([1.0]))
    for step, ratio, _ in steps_of(np.geomspace(1, 50, 9), np.ones(9), 5):
        assert radau.lobatto(np.array([step]))[0] == pytest.approx(radau.factor[0], rel=1e-12)
        radau.advance(np.array([step]), np.array([ratio]))


@pytest.mark.parametrize("step", [np.nan, np.inf, 0.0, 5.0, -1.0])
def test_steps_that_rounding_has_spoilt_leave_the_residual_bound(step):
    radau = GaussRadau(np.array([1.0]), np.array([4.0]))
    assert radau.lobatto(np.array([step]))[0] <= 1 / SHRINK
    radau.advance(np.array([step]), np.array([0.5]))
    assert np.isfinite(radau.factor).all() and radau.factor[0] <= 1 / SHRINK
    assert np.isfinite(radau.lobatto(np.array([0.3]))).all()

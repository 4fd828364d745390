"""Coefficients of exponential integrators against their mean over a circle around each argument."""

from dataclasses import astuple

import numpy as np
import pytest

from nwidth.solvers.phi import etdrk4_coefficients


def by_contour(z, h):
    """Kassam & Trefethen 2005: the mean of an analytic function over a circle is its value in the middle."""
    circle = np.exp(2j * np.pi * (np.arange(64) + 0.5) / 64)
    radius = np.where(np.abs(z) < 2, 4.0, 1.0)  # never close to zero, where the formulas lose their digits
    r = z[:, None] + radius[:, None] * circle
    e = np.exp(r)
    functions = [
        e,
        np.exp(r / 2),
        h * (np.exp(r / 2) - 1) / r,
        h * (-4 - r + e * (4 - 3 * r + r**2)) / r**3,
        2 * h * (2 + r + e * (r - 2)) / r**3,
        h * (-4 - 3 * r - r**2 + e * (4 - r)) / r**3,
    ]
    return [f.mean(axis=1) for f in functions]


@pytest.mark.parametrize("direction", [-1.0, 1j, -0.6 + 0.8j])
def test_all_six_factors_from_zero_to_stiff(direction):
    sizes = np.concatenate([[0.0], np.logspace(-9, 0, 40), np.linspace(0.9, 1.1, 21), np.logspace(0.1, 3, 30)])
    z = direction * sizes
    h = 0.3
    found = astuple(etdrk4_coefficients(z / h, h))
    for values, expected in zip(found, by_contour(z, h), strict=True):
        np.testing.assert_allclose(values, expected if np.iscomplexobj(z) else expected.real, rtol=2e-11, atol=2e-14)


def test_at_zero_they_are_the_classical_weights():
    full, half, stage, first, middle, last = (v[0] for v in astuple(etdrk4_coefficients(np.zeros(1), 0.6)))
    np.testing.assert_allclose([full, half, stage, first, middle, last], [1, 1, 0.3, 0.1, 0.2, 0.1], rtol=1e-15)


def test_real_symbols_have_real_factors():
    assert all(v.dtype == np.float64 for v in astuple(etdrk4_coefficients(-np.arange(5.0), 0.1)))

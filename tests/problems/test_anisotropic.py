"""Anisotropic diffusion against a Fourier series, an assembly of its own, and a symmetry."""

import numpy as np
import pytest
import skfem as fem
from skfem.helpers import dot, grad

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.problems.anisotropic import Anisotropic


def mean_by_series(k, c, terms=400):
    """`-u_xx - k u_yy + c u = 1`: Σ 64 / (π⁴ i² j²) / (π² (i² + k j²) + c) over odd i, j."""
    i, j = np.meshgrid(np.arange(1, terms, 2.0), np.arange(1, terms, 2.0))
    return float(np.sum(64 / (np.pi**4 * i**2 * j**2) / (np.pi**2 * (i**2 + k * j**2) + c)))


@pytest.mark.parametrize(("k", "c"), [(1.0, 0.0), (0.5, 3.0), (2.0, -3.0)])
def test_mean_converges_to_the_series_with_second_order(k, c):
    mu = {"m": np.zeros(1), "k": np.array([k]), "c": np.array([c])}
    exact, missed = mean_by_series(k, c), []
    for resolution in (8, 16, 32):
        plate = Anisotropic(resolution)
        u = nw.solve(plate, mu).field[0]
        missed.append(abs(plate.quantities()["mean"].functional @ u - exact))
    orders = np.log2(np.array(missed[:-1]) / np.array(missed[1:]))
    assert (orders > 1.8).all() and (orders < 2.2).all()
    assert missed[-1] < 2e-3 * exact


def test_terms_are_those_of_the_whole_form():
    plate = Anisotropic(6)
    m, k, c = 0.3, 1.7, -2.0
    tensor = np.array([[1.0, m], [m, k]])
    basis = plate._basis
    form = fem.BilinearForm(lambda u, v, w: dot(np.einsum("ij,j...->i...", tensor, grad(u)), grad(v)) + c * u * v)
    mu = {"m": np.array([m]), "k": np.array([k]), "c": np.array([c])}
    assert abs(plate.assemble(mu).matrix - form.assemble(basis)).max() < 1e-12


def test_the_cross_term_changes_sign_under_reflection():
    plate = Anisotropic(12)
    mu = {"m": np.array([0.4, -0.4]), "k": np.ones(2), "c": np.zeros(2)}
    u = nw.solve(plate, mu).field
    mean, quarter = (plate.quantities()[name].functional for name in ("mean", "quarter"))
    assert u[0] @ mean == pytest.approx(u[1] @ mean, rel=1e-9)
    x, y = plate.space.points().T
    mirrored = np.lexsort(np.round(np.stack([x, y]), 9))[np.argsort(np.lexsort(np.round(np.stack([1 - x, y]), 9)))]
    np.testing.assert_allclose(u[0][mirrored], u[1], atol=1e-12)
    assert abs(u[0] @ quarter - u[1] @ quarter) > 1e-3 * abs(u[0] @ quarter)


def test_quarter_is_a_mean_over_a_quarter():
    plate = Anisotropic(8)
    x, y = plate.space.points().T
    quarter = plate.quantities()["quarter"].functional
    assert quarter @ np.ones(len(x)) == pytest.approx(1.0)
    assert quarter @ x == pytest.approx(0.75) and quarter @ y == pytest.approx(0.75)


def test_stored_problem_is_checked_and_odd_sizes_are_refused():
    plate = Anisotropic(8)
    config, arrays, _ = plate.to_parts()
    assert Anisotropic.from_parts(config, arrays, {}) == plate and plate.at(10).resolution == 10
    with pytest.raises(InputError, match="not the same problem any more"):
        Anisotropic.from_parts(config, {"check": arrays["check"] * 1.01}, {})
    with pytest.raises(InputError, match="even number"):
        Anisotropic(7)

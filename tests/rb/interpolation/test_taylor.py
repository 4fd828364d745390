"""The bound for a whole box of parameters, against the error itself and against derivatives by differences."""

from dataclasses import replace
from math import factorial

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.io.model import load, save
from nwidth.problems.functions import Bump, Constant
from nwidth.rb.interpolation.eim import EIM
from nwidth.rb.interpolation.taylor import BoxBound, indices
from nwidth.spaces.box import Box
from nwidth.spaces.random_field import LogNormalField

POINTS = np.random.default_rng(0).uniform(size=(400, 2))
BOX = Box(("x", "y"), low=(0.2, 0.3), high=(0.7, 0.9))
BUMP = Bump(1.0, 2.0, 0.3)


def table(count, seed=1, box=BOX):
    mu = box.sample(range(count), seed)
    return np.stack([mu[name] for name in box.names], axis=1)


@pytest.fixture(scope="module")
def part():
    return EIM(tol=1e-4).fit(BUMP.values(POINTS, table(200)))


def true_error(part, mu, function=BUMP):
    values = function.values(POINTS, mu)
    return np.abs(values - part.reconstruct(values[:, part.points])).max(axis=1)


@pytest.mark.parametrize("beta", [(1, 0), (0, 2), (2, 1), (3, 2)])
def test_derivatives_of_the_bump_by_differences(beta):
    """Central differences of the derivative one order lower."""
    i = int(np.argmax(beta))
    lower = list(beta)
    lower[i] -= 1
    mu, h = table(5), 1e-5
    step = np.eye(2)[i] * h
    numeric = (BUMP.derivative(POINTS, mu + step, lower) - BUMP.derivative(POINTS, mu - step, lower)) / (2 * h)
    found = BUMP.derivative(POINTS, mu, beta)
    np.testing.assert_allclose(found, numeric, atol=1e-5 * np.abs(found).max())


def test_derivatives_stay_below_their_bounds_and_come_close():
    x = np.linspace(-2, 2, 2001)[:, None]
    bump = Bump(0.7, -3.0, 0.4)
    for order in range(9):
        largest = np.abs(bump.derivative(x, np.zeros((1, 1)), [order])).max()
        assert largest <= bump.derivative_bound([order]) <= 3 * largest
    assert bump.lower(np.zeros((1, 1)))[0] == pytest.approx(bump.values(x, np.zeros((1, 1))).min(), rel=1e-9)


@pytest.mark.parametrize(("levels", "order"), [(1, 1), (3, 2), (6, 4), (12, 6), (2, 10)])
def test_the_bound_holds_everywhere_in_the_box(part, levels, order):
    bound = BoxBound.prepare(BUMP, part, POINTS, BOX, levels, order)
    centres = np.array(BOX.low) + (np.arange(levels)[:, None] + 0.5) * (np.array(BOX.high) - BOX.low) / levels
    edges = np.array(BOX.low) + np.arange(levels + 1)[:, None] * (np.array(BOX.high) - BOX.low) / levels
    mu = np.concatenate([table(500, 3), np.minimum(edges, BOX.high), centres])
    assert (true_error(part, mu) <= bound.evaluate(mu)).all()
    assert (bound.evaluate(mu) <= bound.constant * (1 + 1e-9)).all()


def test_the_bound_is_sharp_on_a_fine_grid(part):
    bound = BoxBound.prepare(BUMP, part, POINTS, BOX, 12, 6)
    mu = table(300, 3)
    ratio = bound.evaluate(mu) / true_error(part, mu)
    assert np.median(ratio) < 3
    assert np.median(BoxBound.prepare(BUMP, part, POINTS, BOX, 2, 6).evaluate(mu) / true_error(part, mu)) > 5


def test_at_a_point_of_the_grid_it_is_the_error_there(part):
    bound = BoxBound.prepare(BUMP, part, POINTS, BOX, 5, 3)
    centre = np.array([[0.45, 0.6]])
    assert bound.evaluate(centre)[0] == pytest.approx(true_error(part, centre)[0], rel=1e-6)


def test_the_remainder_counts_the_operator():
    """A first-order bound written out: `(1 + Λ) Σ_i |d_i| max |∂_i g|` for a function the basis knows nothing of."""
    part = EIM(tol=None, max_size=3).fit(np.random.default_rng(5).normal(size=(3, 400)))
    bound = BoxBound.prepare(BUMP, part, POINTS, BOX, 1, 1)
    mu = table(4, 8)
    d = np.abs(mu - [[0.45, 0.6]])
    rest = (1 + part.lebesgue) * d @ [BUMP.derivative_bound([1, 0]), BUMP.derivative_bound([0, 1])]
    at_centre = true_error(part, np.array([[0.45, 0.6]]))[0]
    np.testing.assert_allclose(bound.evaluate(mu), at_centre + rest, rtol=1e-6)


def test_the_series_is_that_of_taylor():
    """Second order, one parameter: `e_0 + d e_1 + (1 + Λ) d² / 2 max |g''|`, each written out."""
    line = Box(("x",), low=0.2, high=0.6)
    x = np.linspace(0, 1, 200)[:, None]
    part = EIM(tol=None, max_size=4).fit(BUMP.values(x, np.linspace(0.2, 0.6, 9)[:, None]))
    bound = BoxBound.prepare(BUMP, part, x, line, 1, 2)
    middle, mu = np.array([[0.4]]), np.array([[0.401], [0.41]])
    errors = []
    for order in (0, 1):
        values = BUMP.derivative(x, middle, [order])
        errors.append(np.abs(values - part.reconstruct(values[:, part.points])).max())
    d = np.abs(mu[:, 0] - 0.4)
    expected = errors[0] + d * errors[1] + (1 + part.lebesgue) * d**2 / factorial(2) * BUMP.derivative_bound([2])
    np.testing.assert_allclose(bound.evaluate(mu), expected, rtol=1e-6)


def test_outside_the_box_nothing_is_known(part):
    bound = BoxBound.prepare(BUMP, part, POINTS, BOX, 2, 2)
    assert np.isinf(bound.evaluate(np.array([[0.1, 0.5], [0.5, 0.91], [np.nan, 0.5]]))).all()
    assert np.isfinite(bound.evaluate(np.array([[0.2, 0.3], [0.7, 0.9]]))).all()


def test_a_constant_has_an_error_of_rounding():
    constant = Constant(3.0)
    part = EIM().fit(constant.values(POINTS, table(3)))
    bound = BoxBound.prepare(constant, part, POINTS, BOX, 1, 2)
    assert 0 < bound.constant < 1e-12


def test_a_saved_bound_is_the_same(part, tmp_path):
    bound = BoxBound.prepare(BUMP, part, POINTS, BOX, 3, 3)
    save(bound, tmp_path / "box.nwidth")
    again = load(tmp_path / "box.nwidth")
    np.testing.assert_array_equal(again.evaluate(table(20)), bound.evaluate(table(20)))
    assert again.constant == bound.constant


def test_multi_indices_come_by_degree():
    found = indices(2, 3)
    assert found[0] == (0, 0) and len(found) == 10 and [sum(b) for b in found] == sorted(sum(b) for b in found)


def test_what_cannot_be_is_refused(part):
    with pytest.raises(InputError, match="must be at least 1"):
        BoxBound.prepare(BUMP, part, POINTS, BOX, 0, 2)
    with pytest.raises(InputError, match="a width above zero"):
        replace(BUMP, width=0.0)
    with pytest.raises(InputError, match="needs a Box"):
        BoxBound.prepare(BUMP, part, POINTS, LogNormalField("E", 4, 3.0, 2.0, 4, 2), 2, 2)

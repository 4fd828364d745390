"""The distance to the exact solution where squares leave the range of floating-point numbers."""

import numpy as np
import pytest
from tests.bounds.equilibrated.given_data import (
    GivenGrid,
    answer,
    line_error,
    on_halves,
    random_data,
    random_mesh,
    solved,
)

import nwidth as nw
from nwidth.spaces.grid import Grid


def carries(problem, mu, v):
    """The field with the prescribed values, as it is bounded."""
    return problem.space.unflatten(problem.systems(mu).impose(problem.space.flatten(v)))


#: The range of a double, and where squares leave it.
SCALES = [1e-285, 1e-165, 1e-160, 1e-150, 1e150, 1e160, 1e290]


def scaled_answers(problem, mu, u, flux):
    """Bounds of fields in a problem whose source, boundary values and answers are multiplied; and of one whose
    coefficient and source are."""
    one = nw.total_error(answer(problem, mu, u), problem, flux)
    for s in SCALES:
        more = {"a": mu["a"], "f": mu["f"] * s, "g": mu["g"] * s}
        yield one, s, nw.total_error(answer(problem, more, u * s), problem, flux)
    for s in (1e-285, 1e-160, 1e160, 1e290):
        more = {"a": mu["a"] * s, "f": mu["f"] * s, "g": mu["g"]}
        yield one, np.sqrt(s), nw.total_error(answer(problem, more, u), problem, flux)


def compared(one, s, found):
    for name in ("total", "lower", "surrogate", "surrogate_lower", "discretisation", "discretisation_lower", "norm"):
        # a power of ten is not one of two: rounding differs, and conjugate gradients stop at another digit
        np.testing.assert_allclose(getattr(found, name) / s, getattr(one, name), rtol=1e-6, atol=1e-9 * one.norm.max())
    assert not found.reason.any() and (found.advice == one.advice).all()


@pytest.mark.parametrize("flux", ["local", "global"])
def test_tiny_and_huge_numbers_on_lines_are_bounded(flux):
    """Against the closed form, where the squares of everything over- or underflow."""
    rng = np.random.default_rng(0)
    problem = GivenGrid(Grid((6,), 1.0))
    mu = random_data(rng, problem.space, 3, 4.0)
    v = solved(problem, mu) * np.array([0.0, 1.0, 1.1])[:, None]
    true = line_error(on_halves(mu["a"]), on_halves(mu["f"]), carries(problem, mu, v), 1.0)
    for one, s, found in scaled_answers(problem, mu, v, flux):
        assert (found.lower / s <= true).all() and (true <= found.total / s).all()
        compared(one, s, found)
    least = {"a": mu["a"], "f": mu["f"] * 1e-303, "g": mu["g"] * 1e-303}
    found = nw.total_error(answer(problem, least, v * 1e-303), problem, flux)
    assert (found.lower <= true * 1e-303).all() and (true * 1e-303 <= found.total).all()
    assert np.isinf(found.surrogate).all() and all("the parts" in r for r in found.reason) and not any(found.advice)


@pytest.mark.parametrize("flux", ["local", "global"])
@pytest.mark.parametrize("n", [(4, 5), (2, 3, 2)])
def test_tiny_and_huge_numbers_on_grids(n, flux):
    rng = np.random.default_rng(1)
    problem = GivenGrid(Grid(n))
    mu = random_data(rng, problem.space, 2, 4.0)
    v = solved(problem, mu) * np.array([0.0, 1.1]).reshape(2, *(1,) * len(n))
    for case in scaled_answers(problem, mu, v, flux):
        compared(*case)


@pytest.mark.parametrize("flux", ["local", "global"])
def test_tiny_and_huge_numbers_on_triangles(flux):
    rng = np.random.default_rng(2)
    problem = random_mesh(rng, 8)
    count = len(problem.triangles)
    mu = {
        "a": 4.0 ** rng.random((2, count)),
        "f": rng.standard_normal((2, count)),
        "g": rng.standard_normal((2, len(problem.nodes))),
    }
    v = problem.solved(mu) * np.array([[0.0], [1.1]])
    for case in scaled_answers(problem, mu, v, flux):
        compared(*case)


def test_samples_of_one_batch_have_their_own_units():
    rng = np.random.default_rng(3)
    problem = GivenGrid(Grid((5, 4)))
    mu = random_data(rng, problem.space, 3, 4.0)
    u, s = solved(problem, mu), np.array([1e-200, 1.0, 1e200]).reshape(3, 1, 1)
    whole = nw.total_error(answer(problem, {**mu, "f": mu["f"] * s, "g": mu["g"] * s}, u * s), problem)
    np.testing.assert_allclose(
        whole.total / s.ravel(), nw.total_error(answer(problem, mu, u), problem).total, rtol=1e-6
    )


def test_what_no_floating_point_number_can_hold_is_infinite_with_a_reason():
    rng = np.random.default_rng(4)
    problem = GivenGrid(Grid((5, 4)))
    mu = random_data(rng, problem.space, 2, 4.0)
    mu["a"][1] = 10.0 ** np.linspace(-300, 300, mu["a"][1].size).reshape(mu["a"][1].shape)
    v = rng.standard_normal((2, *problem.space.shape))
    found = nw.total_error(answer(problem, mu, v), problem)
    assert np.isinf(found.total[1]) and found.lower[1] == 0 and "range of floating-point" in found.reason[1]
    assert np.isfinite(found.total[0]) and found.advice[1] == ""
    tall = {name: np.ones((1, *problem.space.shape)) for name in ("a", "f", "g")}
    v = v[:1] / np.abs(v[:1]).max() * 1.5e308  # with slopes beyond 1.8e308
    huge = nw.total_error(answer(problem, tall, v), problem)
    assert np.isinf(huge.total[0]) and huge.reason[0]

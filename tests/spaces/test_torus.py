"""The periodic grid: coordinates, and inner products against quadrature and a dense oracle."""

import json

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.spaces.torus import Torus


def test_points_leave_out_the_end():
    space = Torus((4, 2), (2.0, 1.0))
    assert space.shape == (4, 2)
    np.testing.assert_allclose(space.axes()[0], [0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(space.points()[3], [0.5, 0.5])
    assert space.free.all()
    assert space.size == 8


@pytest.mark.parametrize("space", [Torus((8,), 3.0), Torus((6, 5), (1.0, 2.0)), Torus((4, 3, 4))])
@pytest.mark.parametrize("kind", ["mass", "energy"])
def test_products_are_symmetric_positive_and_inverted(space, kind):
    product = space.inner(kind)
    dense = product.apply(np.eye(space.size))
    np.testing.assert_allclose(dense, dense.T, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(dense)
    assert 0 < product.lambda_min <= eigenvalues[0] * (1 + 1e-12)
    np.testing.assert_allclose(product.lambda_min, eigenvalues[0], rtol=1e-9)
    np.testing.assert_allclose(product.riesz(dense), np.eye(space.size), atol=1e-11)


def test_products_of_waves_are_their_integrals():
    """∫ u² and ∫ |∇u|² of u = 2 cos(2πx) sin(2π 2y / 3) + 5 on (0, 1) × (0, 3)."""
    space = Torus((16, 12), (1.0, 3.0))
    x, y = space.points().T
    u = 2 * np.cos(2 * np.pi * x) * np.sin(4 * np.pi * y / 3)
    squares = 3.0
    np.testing.assert_allclose(space.inner("mass").norm((u + 5)[None]) ** 2, squares + 75, rtol=1e-13)
    gradient = ((2 * np.pi) ** 2 + (4 * np.pi / 3) ** 2) * squares
    np.testing.assert_allclose(space.inner("energy").norm(u[None]) ** 2, gradient, rtol=1e-13)
    np.testing.assert_allclose(space.inner("energy").norm(np.full((1, space.size), 5.0)) ** 2, 75, rtol=1e-13)


def test_round_trip_and_bad_input():
    space = Torus((6, 4), (1.0, 2.0))
    assert Torus.from_parts(json.loads(json.dumps(space.to_parts().config)), {}, {}) == space
    for make, message in [
        (lambda: Torus((1,)), "at least 2 points"),
        (lambda: Torus((4, 4), (1.0, -1.0)), "positive length"),
        (lambda: space.inner("H2"), "choose one of energy, mass"),
        (lambda: space.inner("mass").apply(np.ones((1, 5))), "expected"),
    ]:
        with pytest.raises(InputError, match=message):
            make()

"""Parameter spaces side by side, and grids with complex values."""

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.spaces.box import Box
from nwidth.spaces.complex_grid import ComplexGrid
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.random_field import LogNormalField

FIELD = LogNormalField("n", resolution=4, modes=4)


def test_draws_depend_on_seed_and_index_alone():
    space = Joint((Box(("k", "h"), 1.0, 2.0), FIELD))
    assert space.names == ("k", "h", "n")
    some = space.sample([5, 2], 7)
    for row, index in enumerate([5, 2]):
        one = space.sample([index], 7)
        for name in space.names:
            np.testing.assert_array_equal(one[name][0], some[name][row])
    assert space.contains(some).tolist() == [True, True]
    assert space.contains({**some, "k": np.array([1.5, 9.0])}).tolist() == [True, False]
    assert space.contains({**some, "n": -some["n"]}).tolist() == [False, False]


def test_equal_parts_draw_independent_values():
    """One random stream for both would make them equal."""
    mu = Joint((Box(("a",)), Box(("b",)))).sample(range(2000), 0)
    assert abs(np.corrcoef(mu["a"], mu["b"])[0, 1]) < 0.06
    other = Joint((Box(("a",)), Box(("b",)))).sample(range(2000), 1)
    assert abs(np.corrcoef(mu["a"], other["a"])[0, 1]) < 0.06


def test_joint_round_trip_and_names_given_twice():
    space = Joint((Box(("k",), 1.0, 2.0), FIELD))
    assert Joint.from_parts(*space.to_parts()) == space
    for parts in ((), (Box(("k",)), Box(("k",)))):
        with pytest.raises(InputError, match="each name once"):
            Joint(parts)


@pytest.mark.parametrize("boundary", ["dirichlet", "robin"])
def test_complex_grids_treat_both_parts_alike(boundary):
    grid, real = ComplexGrid((5, 6), boundary=boundary), Grid((5, 6), boundary=boundary)
    assert grid.dtype == complex and grid.shape == real.shape
    rng = np.random.default_rng(0)
    v = rng.standard_normal((2, grid.size)) + 1j * rng.standard_normal((2, grid.size))
    for kind in ("energy", "mass"):
        x, y = grid.inner(kind), real.inner(kind)
        np.testing.assert_allclose(x.apply(v).imag, y.apply(v.imag.copy()), atol=1e-13)
        np.testing.assert_allclose(x.norm(v) ** 2, y.norm(v.real.copy()) ** 2 + y.norm(v.imag.copy()) ** 2, rtol=1e-12)
        np.testing.assert_allclose(x.apply(x.riesz(x.apply(v))), x.apply(v), atol=1e-11)
        assert x.lambda_min == y.lambda_min
    assert ComplexGrid.from_parts(*grid.to_parts()) == grid

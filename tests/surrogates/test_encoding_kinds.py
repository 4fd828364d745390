"""Fields, scalars and vectors together: which parameter becomes which channel, and what is refused."""

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.torus import Torus
from nwidth.surrogates.training import Encoding
from nwidth.surrogates.training.encoding import grid_dimension, side_lengths

RNG = np.random.default_rng(0)


def runs(mu, space, parameters=None):
    names = tuple(mu)
    box = Box(names, low=(0.0,) * len(names), high=(1.0,) * len(names))
    count = len(next(iter(mu.values())))
    return Snapshots(parameters or box, space, mu, np.zeros((count, *space.shape)))


@pytest.mark.parametrize("space", [Torus((8,)), Torus((8, 6)), Grid((7, 5)), Grid((4,)), Torus((4, 5, 3))])
def test_grids_of_every_dimension_are_grids(space):
    assert grid_dimension(space) == len(space.cells)
    assert Encoding.of(runs({"a": np.ones(2)}, space)).dim == len(space.cells)


def test_the_sides_of_a_torus_are_its_periods():
    np.testing.assert_allclose(side_lengths(Torus((8, 6), (2.0, 3.0))), (2.0, 3.0))


@pytest.mark.parametrize("space", [Torus((8,)), Torus((8, 6))])
def test_every_kind_of_parameter_has_its_channels(space):
    grid = space.shape
    mu = {
        "field": RNG.standard_normal((2, *grid)),
        "flow": RNG.standard_normal((2, 3, *grid)),
        "wave": RNG.standard_normal((2, *grid)) + 1j * RNG.standard_normal((2, *grid)),
        "vector": RNG.standard_normal((2, 4)),
        "scalar": RNG.standard_normal(2),
        "number": RNG.standard_normal(2) * (1 + 2j),
    }
    encoding = Encoding.of(runs(mu, space))
    x = encoding.inputs(mu, grid)
    assert encoding.on_grid == ("field", "flow", "wave") and x.shape == (2, 1 + 3 + 2 + 4 + 1 + 2, *grid)
    np.testing.assert_array_equal(x[:, 0], mu["field"])
    np.testing.assert_array_equal(x[:, 1:4], mu["flow"])
    np.testing.assert_array_equal(x[:, 4] + 1j * x[:, 5], mu["wave"])
    for number, values in enumerate([*mu["vector"].T, mu["scalar"], mu["number"].real, mu["number"].imag]):
        np.testing.assert_array_equal(x[:, 6 + number], values.reshape(2, *(1,) * len(grid)) + np.zeros(grid))
    assert Encoding.from_config(encoding.to_config()) == encoding


def test_a_vector_on_a_line_is_no_field():
    """On a line of 8 points, 3 numbers are three constants, whatever grid the network later answers on."""
    encoding = Encoding.of(runs({"u": np.ones((2, 8)), "k": np.ones((2, 3))}, Torus((8,))))
    assert encoding.inputs({"u": np.ones((2, 16)), "k": np.ones((2, 3))}, (16,)).shape == (2, 4, 16)
    with pytest.raises(InputError, match=r"'u' is given on a grid of \(8,\) nodes, the answers live on \(16,\)"):
        encoding.inputs({"u": np.ones((2, 8)), "k": np.ones((2, 3))}, (16,))


@pytest.mark.parametrize(
    ("mu", "space", "parameters", "match"),
    [
        ({"u": np.ones((2, 16))}, Torus((8,)), PeriodicField("u", 16, modes=3, dim=1), "on_nodes"),
        ({"a": np.ones((2, 9, 9))}, Torus((8, 8)), None, r"a grid of \(9, 9\) nodes.*no field is given as \(B, P\)"),
        ({"u": np.ones((2, 500))}, Torus((8,)), None, "500 numbers per sample"),
    ],
    ids=["known field", "as many axes", "too many numbers"],
)
def test_a_field_on_other_nodes_is_refused_before_training(mu, space, parameters, match):
    with pytest.raises(InputError, match=match):
        Encoding.of(runs(mu, space, parameters), layout="channels")


def test_a_field_on_other_nodes_is_refused_among_other_parameters():
    parameters = Joint((Box(("nu",), low=(0.0,), high=(1.0,)), PeriodicField("u", 16, modes=3, dim=1)))
    with pytest.raises(InputError, match="'u' is given on a grid"):
        Encoding.of(runs({"nu": np.ones(2), "u": np.ones((2, 16))}, Torus((8,)), parameters), layout="channels")
    assert Encoding.of(runs({"nu": np.ones(2), "u": np.ones((2, 16))}, Torus((8,)), parameters)).layout == "vector"


def test_files_without_names_of_fields_mean_what_they_meant():
    config = {"names": ["a", "b"], "layout": "channels", "dim": 2, "complex_fields": False, "components": 0}
    old = Encoding.from_config(config)
    x = old.inputs({"a": np.ones((2, 4, 5)), "b": np.full(2, 3.0)}, (4, 5))
    assert x.shape == (2, 2, 4, 5) and (x[:, 1] == 3).all()

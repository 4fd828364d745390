"""Parameters and fields as channels and back, symmetries of the square."""

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.random_field import TwoValuedField
from nwidth.surrogates.training import Encoding
from nwidth.surrogates.training.augment import count, turned


@pytest.mark.parametrize(("dim", "order"), [(1, 2), (2, 8), (3, 48)])
def test_the_symmetries_of_the_cube_are_all_there(dim, order):
    x = torch.arange(3.0**dim).reshape(1, 1, *(3,) * dim)
    images = {tuple(turned(x, number, dim).flatten().tolist()) for number in range(count(dim))}
    assert count(dim) == order == len(images)
    assert all(sorted(image) == list(range(3**dim)) for image in images)


def test_turning_commutes_with_the_laplacian():
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def laplacian(v):
        return v[..., 2:, 1:-1] + v[..., :-2, 1:-1] + v[..., 1:-1, 2:] + v[..., 1:-1, :-2] - 4 * v[..., 1:-1, 1:-1]

    for number in range(8):
        np.testing.assert_allclose(laplacian(turned(x, number, 2)), turned(laplacian(x), number, 2), atol=1e-13)


def runs(mu, fields, space, parameters=None):
    names = tuple(mu)
    return Snapshots(parameters or Box(names, low=(0.0,) * len(names), high=(1.0,) * len(names)), space, mu, fields)


def test_fields_and_scalars_become_channels():
    field, scalar = np.random.default_rng(0).random((3, 5, 5)), np.array([1.0, 2.0, 3.0])
    snapshots = runs({"a": field, "b": scalar}, np.zeros((3, 5, 5)), Grid((4, 4)))
    encoding = Encoding.of(snapshots)
    x = encoding.inputs(snapshots.mu, (5, 5))
    assert encoding.layout == "channels" and x.shape == (3, 2, 5, 5)
    np.testing.assert_array_equal(x[:, 0], field)
    np.testing.assert_array_equal(x[:, 1], np.broadcast_to(scalar[:, None, None], (3, 5, 5)))


def test_scalars_alone_become_a_row():
    snapshots = runs({"a": np.ones(3), "b": np.full((3, 2), 2.0)}, np.zeros((3, 7)), Points((7,)))
    encoding = Encoding.of(snapshots)
    assert encoding.layout == "vector" and encoding.dim == 0
    np.testing.assert_array_equal(encoding.inputs(snapshots.mu, ()), [[1, 2, 2]] * 3)
    assert encoding.fields(snapshots.fields).shape == (3, 1, 7)


def test_complex_fields_with_components_come_back():
    rng = np.random.default_rng(1)
    space = Points((2, 6), names=("u", "v"), type="complex128")
    fields = rng.standard_normal((3, 2, 6)) + 1j * rng.standard_normal((3, 2, 6))
    encoding = Encoding.of(runs({"a": np.ones(3)}, fields, space))
    channels = encoding.fields(fields)
    assert channels.dtype == np.float64 and channels.shape[1] == encoding.channels_out
    np.testing.assert_array_equal(encoding.values(channels, space.shape), fields)


def test_the_encoding_survives_a_model_file():
    encoding = Encoding(("a", "b"), "channels", 2, True, 3)
    assert Encoding.from_config(encoding.to_config()) == encoding


def test_a_field_on_another_grid_is_refused():
    parameters = TwoValuedField(resolution=8)
    snapshots = runs(parameters.sample(range(2), 0), np.zeros((2, 9, 9)), Grid((8, 8)), parameters)
    encoding = Encoding.of(snapshots)
    with pytest.raises(InputError, match=r"'a' is given on a grid of \(17, 17\) nodes"):
        encoding.inputs(parameters.at(16).sample(range(2), 0), (9, 9))

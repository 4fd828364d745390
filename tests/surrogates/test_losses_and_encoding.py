"""Losses against closed forms, parameters and fields as channels and back."""

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.random_field import TwoValuedField
from nwidth.surrogates.training import Encoding, relative_h1, relative_lp
from nwidth.surrogates.training.augment import count, turned
from nwidth.surrogates.training.config import one_cycle


def test_relative_lp_of_known_vectors():
    u = torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]], dtype=torch.float64)
    v = torch.tensor([[[3.0, 4.5]], [[1.0, 0.25]]], dtype=torch.float64)
    np.testing.assert_allclose(relative_lp(2)(v, u), [0.1, 0.25], rtol=1e-14)
    np.testing.assert_allclose(relative_lp(1)(v, u), [0.5 / 7, 0.25], rtol=1e-14)


def test_relative_h1_of_discrete_sines():
    """Sines are eigenvectors of the differences, so the norm is known: `|sin kπx|²_H1 = (1 + λ_k) |sin kπx|²`."""
    n, length, k = 24, 2.0, 7
    x = np.arange(n + 1) / n
    h = length / n
    eigenvalue = {j: (2 / h * np.sin(np.pi * j / (2 * n))) ** 2 for j in (1, k)}
    u = torch.tensor(np.sin(np.pi * x))[None, None]
    v = u + 0.01 * torch.tensor(np.sin(k * np.pi * x))[None, None]
    expected = 0.01 * np.sqrt((1 + eigenvalue[k]) / (1 + eigenvalue[1]))
    np.testing.assert_allclose(relative_h1((length,))(v, u), [expected], rtol=1e-12)


def test_relative_h1_counts_every_axis_with_its_own_spacing():
    u = torch.zeros(1, 1, 5, 9, dtype=torch.float64)
    u += torch.arange(5.0)[:, None] / 4  # |∇u|² = 1 on a domain of length 1, 40 differences of 1/16
    error = torch.arange(9.0, dtype=torch.float64) / 8 * 0.5  # slope 0.5 / 2 on length 2
    loss = relative_h1((1.0, 2.0))
    values = float((u**2).sum()), float((error**2).sum() * 5)
    expected = np.sqrt((values[1] + 40 * 0.25**2) / (values[0] + 36 * 1.0))
    np.testing.assert_allclose(loss(u + error, u), [expected], rtol=1e-12)


def test_one_cycle_rises_then_falls():
    assert one_cycle(0.0, 1.0) == pytest.approx(0.04)
    assert one_cycle(0.2, 1.0) == pytest.approx(1.0)
    assert one_cycle(0.6, 1.0) == pytest.approx((1 + 1e-4) / 2)
    assert one_cycle(1.0, 1.0) == one_cycle(1.7, 1.0) == pytest.approx(1e-4)


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

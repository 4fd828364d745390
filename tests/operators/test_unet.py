"""The U-Net: its parts on every size, its boundaries, what it learns, and what it does not do at other resolutions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.operators.conftest import averaged_runs, poisson_runs

from nwidth.core.errors import InputError
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.operators import Training, UNet
from nwidth.operators.places import Axis, axes_of, coordinates, interpolation, is_periodic, places, resample
from nwidth.operators.unet import PaddedConvolution, UNetArchitecture, UNetwork, doubled, pad_by_one
from nwidth.problems.poisson import Poisson
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.torus import Torus

AXES: tuple[Axis, ...] = ("node", "cell", "periodic", "periodic cell")
SMALL = UNet(width=8, levels=2, training=Training(epochs=15, rate=5e-3))
SIZES = range(5, 41)


@pytest.fixture(scope="module")
def fitted(poisson):
    return SMALL.fit(poisson, Poisson(12), seed=0)


def network(axes, grid, padding="replicate", elsewhere="as is", levels=3, channels=(1, 1)):
    torch.manual_seed(0)
    sizes = UNetArchitecture(grid, 4, levels, 1, padding, elsewhere)
    net = UNetwork(channels, axes, sizes).double()
    with torch.no_grad():  # blocks start as their shortcuts; here all of the network should matter
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def error(surrogate, runs):
    fields = surrogate.predict(runs.mu).field
    return np.linalg.norm(fields - runs.fields) / np.linalg.norm(runs.fields)


@pytest.mark.parametrize("axis", AXES)
def test_linear_interpolation_between_any_two_grids(axis):
    for old in (2, 5, 8):
        for new in (*range(5, 20, 3), 40):
            x, y = places(axis, old), places(axis, new)
            if is_periodic(axis):  # against NumPy on the unrolled circle
                values = torch.sin(7 * x) + x
                around = np.concatenate([x - 1, x, x + 1]), np.tile(values, 3)
                expected = np.interp(y, *around)
            else:
                values, expected = 3 - 2 * x, 3 - 2 * y
            np.testing.assert_allclose(interpolation(axis, old, new) @ values, expected, rtol=1e-12, atol=1e-12)


def test_resampling_is_bilinear_as_torch_has_it():
    x = torch.randn(2, 3, 7, 10, dtype=torch.float64)
    for axis, corners in (("node", True), ("cell", False)):
        expected = torch.nn.functional.interpolate(x, (13, 9), mode="bilinear", align_corners=corners)
        found = resample(x, (axis, axis), (13, 9))
        inner = (..., slice(1, -1), slice(1, -1))  # torch repeats values beyond the outermost cells
        torch.testing.assert_close(found[inner], expected[inner])
    assert resample(x, ("node", "node"), (7, 10)) is x


@pytest.mark.parametrize("periodic", [False, True])
def test_halving_and_doubling_moves_nothing_at_any_size(periodic):
    axes = ("periodic" if periodic else "node",)
    for n in SIZES:
        x = torch.randn(2, 3, n, dtype=torch.float64)
        up = doubled(x[..., ::2], (n,), axes)
        assert up.shape == x.shape
        assert torch.equal(up[..., ::2], x[..., ::2])
        line = torch.arange(n, dtype=torch.float64).expand(1, 1, n)
        inside = slice(0, n - 1 + n % 2)  # the last value of an even size has no right neighbour
        assert torch.equal(doubled(line[..., ::2], (n,), axes)[..., inside], line[..., inside])
        last = doubled(line[..., ::2], (n,), axes)[0, 0, -1]
        assert last == (n - 1 if n % 2 else (n - 2) / 2 if periodic else n - 2)


def test_a_convolution_of_stride_two_is_every_second_value_of_the_plain_one():
    for padding in ("replicate", "reflect", "zeros"):
        for n in SIZES:
            plain = PaddedConvolution((2, 3), ("node", "periodic"), padding).double()
            strided = PaddedConvolution((2, 3), ("node", "periodic"), padding, stride=2).double()
            strided.load_state_dict(plain.state_dict())
            x = torch.randn(1, 3, n, 8, dtype=torch.float64)
            torch.testing.assert_close(strided(x), plain(x)[..., ::2, ::2])


@pytest.mark.parametrize("mode", ["replicate", "reflect", "circular", "zeros"])
def test_padding_is_that_of_torch(mode):
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    expected = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="constant" if mode == "zeros" else mode)
    assert torch.equal(pad_by_one(x, (mode, mode)), expected)
    assert pad_by_one(x[..., :1], (mode, mode)).shape == (2, 3, 7, 3)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_size_gives_its_own_size(dim):
    net = network(("node",) * dim, (9,) * dim)
    for n in SIZES if dim < 3 else (5, 6, 11):
        grid = (n, 7, 6)[:dim]
        assert net(torch.randn(2, 1, *grid, dtype=torch.float64)).shape == (2, 1, *grid)


def test_a_periodic_network_commutes_with_translations():
    """By multiples of the coarsest spacing, where its input does: the coordinates are taken away."""
    net = network(("periodic", "periodic"), (16, 24), channels=(2, 1))
    with torch.no_grad():
        net.lift.convolution.weight[:, 1:] = 0
    x = torch.randn(1, 1, 16, 24, dtype=torch.float64)
    torch.testing.assert_close(net(x.roll((8, 16), (2, 3))), net(x).roll((8, 16), (2, 3)))
    assert not torch.allclose(net(x.roll(1, 2)), net(x).roll(1, 2))


def test_the_walls_of_a_box_are_not_neighbours():
    """A change at one wall reaches the other through the ring of a periodic axis, not with one level in a long box."""
    x = torch.zeros(1, 1, 40, dtype=torch.float64)
    y = x.clone()
    y[..., 0] = 1
    lift = [network((axis,), (40,), channels=(1, 1)).lift for axis in ("node", "periodic")]
    wide = [torch.cat([v, *[torch.zeros_like(v)] * 2], 1) for v in (x, y)]
    changed = [(layer(wide[1][:, : 1 + k]) - layer(wide[0][:, : 1 + k])).abs()[0, :, -1].max() for layer, k in
               zip(lift, (1, 2), strict=True)]  # fmt: skip
    assert changed[0] == 0 < changed[1]


def test_coordinates_are_those_of_the_space():
    grid = Grid((6, 5), boundary=("periodic", "neumann"))
    axes = axes_of(grid, 2)
    assert axes == ("periodic", "node") and axes_of(Torus((4, 4)), 2) == ("periodic",) * 2
    assert axes_of(Grid((6, 5), boundary=("periodic", "neumann"), centring="cell"), 2) == ("periodic cell", "cell")
    for space in (grid, Grid((6, 5), boundary=("periodic", "neumann"), centring="cell")):
        x = space.points().T.reshape(2, *space.shape)
        found = coordinates(axes_of(space, 2), space.shape, torch.ones((), dtype=torch.float64))
        expected = np.stack([np.sin(2 * np.pi * x[0]), np.cos(2 * np.pi * x[0]), 2 * x[1] - 1])
        np.testing.assert_allclose(found, expected, atol=1e-15)


def test_answers_do_not_depend_on_the_batch_and_every_parameter_is_trained():
    net = network(("node", "node"), (9, 9))
    x = torch.randn(5, 1, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(net(x)[3:4], net(x[3:4]), rtol=1e-12, atol=1e-13)
    net(x).square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in net.parameters())


def test_it_learns_and_keeps_boundary_values(fitted):
    unseen = poisson_runs(Poisson(12), 16, seed=1)
    assert error(fitted, unseen) < 0.02
    on_boundary = ~unseen.space.free.reshape(unseen.space.shape)
    found = fitted.predict(unseen.mu).field
    np.testing.assert_array_equal(found[:, on_boundary], unseen.fields[:, on_boundary])


def test_at_another_resolution_it_answers_through_its_own_grid(averaged):
    """Resampled, the error grows by the interpolation; the same stencils on a finer grid are another function."""

    def off(surrogate, resolution):
        runs = averaged_runs(resolution, 12, seed=1)
        found = surrogate.at(runs.space).predict(runs.mu).field
        return np.linalg.norm(found - runs.fields) / np.linalg.norm(runs.fields - 2.1)

    fitters = [replace(SMALL, elsewhere=word) for word in ("resample", "as is")]
    resampled, as_is = (fitter.fit(averaged, seed=0) for fitter in fitters)
    assert off(resampled, 12) == off(as_is, 12)
    assert off(resampled, 24) < 1.5 * off(resampled, 12)
    assert off(as_is, 36) > 2 * off(resampled, 36)


def test_a_nested_grid_is_answered_like_the_training_grid(averaged):
    few = replace(SMALL, training=Training(epochs=1)).fit(averaged)
    fine = averaged_runs(24, 3, seed=2)
    coarse = Snapshots(averaged.parameters, averaged.space, {"a": fine.mu["a"][:, ::2, ::2]}, fine.fields[:, ::2, ::2])
    found = few.at(fine.space).predict(fine.mu).field[:, ::2, ::2]
    np.testing.assert_allclose(found, few.predict(coarse.mu).field, rtol=1e-6)


def test_a_moved_surrogate_is_saved_with_its_training_grid(fitted, tmp_path):
    problem = Poisson(17)
    mu = problem.parameters.sample(range(3), seed=4)
    for surrogate in (fitted, fitted.at(problem.space)):
        save(surrogate, tmp_path / "model.nwidth")
        again = load(tmp_path / "model.nwidth")
        np.testing.assert_array_equal(again.predict(mu).field, surrogate.predict(mu).field)
        assert fingerprint(again) == fingerprint(surrogate) and again.architecture.grid == (13, 13)


def test_periodic_data_of_odd_size():
    torus = Torus((15, 12))
    box = Box(("s", "t"), low=(0.0, 0.0), high=(0.3, 0.3))
    mu = box.sample(range(24), 0)
    x, y = (p.reshape(torus.shape) for p in torus.points().T)
    phase = [mu[name][:, None, None] for name in ("s", "t")]
    fields = np.sin(2 * np.pi * (x - phase[0])) * np.cos(2 * np.pi * (y - phase[1]))
    runs = Snapshots(box, torus, mu, fields)
    surrogate = replace(SMALL, training=Training(epochs=25, rate=5e-3)).fit(runs)
    assert error(surrogate, runs) < 0.2
    assert surrogate.predict(mu).field.shape == (24, 15, 12)


def test_levels_are_as_many_as_the_grid_allows(averaged):
    shapes = {5: 0, 7: 1, 13: 2, 25: 3, 49: 4, 200: 4}
    for n, levels in shapes.items():
        frame = type("Frame", (), {"dim": 2, "grid": (n, n + 8)})()
        assert UNet().architecture(frame).levels == levels


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"levels": -1}, {"blocks": 0}, {"padding": "wrap"}, {"elsewhere": "up"}, {"boundary": "x"}]
)
def test_impossible_sizes_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"UNet: {name} is"):
        UNet(**wrong)


def test_fields_without_a_grid_are_refused():
    points = Snapshots(Box(("t",), low=(0.0,), high=(1.0,)), Points((7,)), {"t": np.ones(4)}, np.ones((4, 7)))
    with pytest.raises(InputError, match="UNet needs fields on a grid"):
        UNet().fit(points)

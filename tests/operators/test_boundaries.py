"""Series by the boundary: the exact band-limited function on every grid, exact values and fluxes, the choice."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nwidth.core.errors import InputError
from nwidth.io.model import load, save
from nwidth.operators import FFNO, FNO, Training
from nwidth.operators.boundaries.axes import AxisSeries, series_of
from nwidth.operators.boundaries.ends import (
    dirichlet_ends,
    end_slope_weights,
    ends_bubble,
    ends_lift,
    ends_mask,
    without_flux,
)
from nwidth.operators.boundaries.network import SeriesNetwork
from nwidth.operators.export import to_onnx
from nwidth.operators.ffno import FactorisedNetwork
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.grid import Grid
from nwidth.spaces.points import Points
from nwidth.spaces.torus import Torus

PERIODIC, PADDED = AxisSeries("periodic", "periodic"), AxisSeries("padded", "node", 0.25)
COSINE, CELLS = AxisSeries("cosine", "node"), AxisSeries("cosine", "cell")
BOX = Box(("s", "t"), low=(0.0, 0.0), high=(1.0, 1.0))
TINY = {"modes": 4, "width": 10, "layers": 2, "training": Training(epochs=25, rate=2e-2)}


def network(axes, kind=SeriesNetwork, **options):
    torch.manual_seed(0)
    net = kind((2, 1), (4,) * len(axes), 6, 3, axes, **options).double()
    with torch.no_grad():  # the spectral part starts small; here it should matter
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def runs(space, function, count=48, seed=0):
    mu = BOX.sample(range(count), seed)
    x = space.points()
    fields = [function(x, s, t).reshape(space.shape) for s, t in zip(mu["s"], mu["t"], strict=True)]
    return Snapshots(BOX, space, mu, np.stack(fields))


def error(surrogate, snapshots):
    found = surrogate.predict(snapshots.mu).field
    return np.linalg.norm(found - snapshots.fields) / np.linalg.norm(snapshots.fields)


def test_the_space_chooses_the_series():
    def words(space, wanted="auto"):
        return [(a.word, a.points, a.padding) for a in series_of(space, len(space.shape), wanted, 0.5)]

    assert words(Torus((8, 8))) == [("periodic", "periodic", 0.0)] * 2
    assert words(Grid((8, 8))) == [("padded", "node", 0.5)] * 2
    assert words(Grid((8,), boundary="neumann")) == [("cosine", "node", 0.0)]
    mixed = Grid((8, 8, 8), boundary=("periodic", "neumann", ("dirichlet", "neumann")), centring="cell")
    assert words(mixed) == [("periodic", "cell", 0.0), ("cosine", "cell", 0.0), ("padded", "cell", 0.5)]
    assert words(Points((8, 8)), ("periodic", "sine")) == [("periodic", "periodic", 0.0), ("sine", "node", 0.0)]
    with pytest.raises(InputError, match="has two ends"):
        words(Grid((8, 8)), "periodic")
    with pytest.raises(InputError, match="is periodic"):
        words(Torus((8, 8)), "padded")
    with pytest.raises(InputError, match="one word, or one per axis"):
        words(Grid((8, 8)), ("cosine",))
    with pytest.raises(InputError, match="one word, or one per axis"):
        words(Grid((8, 8)), "walsh")


def polynomial(grid, degree=3, channels=1):
    """A trigonometric polynomial of two variables, as a function of the grid."""
    rng = np.random.default_rng(5)
    x, y = np.meshgrid(*[np.arange(n) / n for n in grid], indexing="ij")
    total = np.zeros(grid)
    for k, m in product(range(-degree, degree + 1), repeat=2):
        a, b = rng.standard_normal(2)
        total += a * np.cos(2 * np.pi * (k * x + m * y)) + b * np.sin(2 * np.pi * (k * x + m * y))
    return torch.tensor(total)[None, None]


def test_a_linear_network_gives_the_exact_band_limited_function_on_every_grid(monkeypatch):
    """Without its nonlinearity the network multiplies every frequency by a known matrix: the trigonometric polynomial
    is known, and found at every size, odd ones included."""
    monkeypatch.setattr("nwidth.operators.pointwise.fusible", lambda x: False)
    monkeypatch.setattr("nwidth.operators.pointwise.F.gelu", lambda v: v)
    for net in (
        network((PERIODIC, PERIODIC), coordinates=False),
        network((PERIODIC, PERIODIC), FactorisedNetwork, coordinates=False),
    ):
        with torch.no_grad():
            reference = net(polynomial((64, 64)))[0]
            spectrum = torch.fft.fft2(reference) / 64**2
            k = torch.fft.fftfreq(64, 1 / 64).double()
            assert float(spectrum[:, (k.abs() > 3)].abs().max()) < 1e-12  # nothing but frequencies of the input
            for grid in ((7, 9), (8, 16), (15, 33), (128, 64)):
                waves = [torch.exp(2j * np.pi * torch.arange(n, dtype=torch.float64)[:, None] / n * k) for n in grid]
                exact = torch.einsum("xk,ckl,yl->cxy", waves[0], spectrum, waves[1]).real
                torch.testing.assert_close(net(polynomial(grid))[0], exact, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", [SeriesNetwork, FactorisedNetwork])
def test_on_periodic_grids_resolutions_agree_to_the_tail_of_the_nonlinearity(kind):
    """The nonlinearity makes frequencies that a grid mistakes for others: what is left of that falls exponentially."""
    net = network((PERIODIC, PERIODIC), kind)
    with torch.no_grad():
        fine = net(polynomial((192, 192), 2))
        gaps = [
            float((net(polynomial((n, n), 2)) - fine[..., :: 192 // n, :: 192 // n]).abs().max()) for n in (16, 32, 64)
        ]
    assert gaps[0] < 1e-3
    assert gaps[1] < 1e-2 * gaps[0]
    assert gaps[2] < 1e-12


@pytest.mark.parametrize(
    "axes", [(PERIODIC, PADDED), (COSINE, COSINE), (CELLS, PERIODIC)], ids=["padded", "cosine", "cells"]
)
@pytest.mark.parametrize("kind", [SeriesNetwork, FactorisedNetwork])
def test_other_series_agree_between_resolutions_at_second_order(axes, kind):
    net = network(axes, kind)

    def at(n):
        size = [n + (a.points == "node") for a in axes]
        x, y = (torch.tensor(a.basis(1).places(m)) for a, m in zip(axes, size, strict=True))
        with torch.no_grad():
            line = torch.cos(2 * np.pi * x) if axes[0] is PERIODIC else torch.exp(torch.sin(2 * x))
            end = torch.cos(2 * np.pi * y) if axes[1] is PERIODIC else torch.exp(torch.sin(2 * y))
            out = net((line[:, None] * end)[None, None])
        if axes[0] is CELLS:  # the middle of the grid is a corner of cells: the mean of its neighbours
            return (out[..., n // 2, :: n // 4] + out[..., n // 2 - 1, :: n // 4]) / 2
        return out[..., :: n // 4, :: n // 4]

    values = [at(n) for n in (16, 32, 64, 128)]
    gaps = [float((a - b).abs().max() / b.abs().max()) for a, b in pairwise(values)]
    np.testing.assert_allclose(np.log2(np.array(gaps[:-1]) / gaps[1:]), 2, atol=0.35)
    assert gaps[-1] < 2e-3


@pytest.mark.parametrize("kind", [SeriesNetwork, FactorisedNetwork])
def test_without_coordinates_a_periodic_network_commutes_with_translations(kind):
    x = torch.randn(2, 1, 12, 9, dtype=torch.float64)
    free, bound = (network((PERIODIC, PERIODIC), kind, coordinates=c) for c in (False, True))
    with torch.no_grad():
        moved = free(x.roll((5, -2), (2, 3)))
        torch.testing.assert_close(moved, free(x).roll((5, -2), (2, 3)), rtol=0, atol=1e-12)
        assert float((bound(x.roll(5, 2)) - bound(x).roll(5, 2)).abs().max()) > 1e-3


def test_the_network_is_its_formula():
    axes = (COSINE, PERIODIC)
    net = network(axes)
    x = torch.randn(2, 1, 9, 11, dtype=torch.float64)
    first, second = np.linspace(0, 1, 9), 2 * np.pi * np.arange(11) / 11
    lines = [
        (2 * first - 1)[:, None] + 0 * second,
        np.cos(second) + 0 * first[:, None],
        np.sin(second) + 0 * first[:, None],
    ]
    v = torch.cat([x, torch.tensor(np.stack(lines)).expand(2, 3, 9, 11)], dim=1)
    v = F.conv2d(v, net.lift.weight[:, :, None, None], net.lift.bias)
    for number, layer in enumerate(net.layers):
        v = F.gelu(v) if number else v
        v = layer.spectral(v) + F.conv2d(v, layer.pointwise.weight[:, :, None, None], layer.pointwise.bias)
    v = F.gelu(F.conv2d(v, net.hidden.weight[:, :, None, None], net.hidden.bias))
    v = F.conv2d(v, net.project.weight[:, :, None, None], net.project.bias)
    torch.testing.assert_close(net(x), v, rtol=1e-11, atol=1e-11)


def test_the_factorised_network_is_its_formula():
    net = network((COSINE, PERIODIC), FactorisedNetwork, coordinates=False)
    x = torch.randn(2, 1, 9, 11, dtype=torch.float64, requires_grad=True)

    def pointwise(linear, v):
        return F.conv2d(v, linear.weight[:, :, None, None], linear.bias)

    def formula(x):
        v = pointwise(net.lift, x)
        for layer in net.layers:
            v = v + pointwise(layer.outer, F.gelu(pointwise(layer.inner, layer.spectral(v))))
        return pointwise(net.project, F.gelu(pointwise(net.hidden, v)))

    torch.testing.assert_close(net(x), formula(x), rtol=1e-11, atol=1e-11)
    variables = [x, *net.parameters()]
    slopes = [torch.autograd.grad(f(x).square().sum(), variables) for f in (net, formula)]
    for found, expected in zip(*slopes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-9)


def test_every_parameter_is_trained():
    for kind, options in ((SeriesNetwork, {}), (FactorisedNetwork, {}), (FactorisedNetwork, {"shared": True})):
        net = network((PERIODIC, COSINE), kind, **options)
        net(torch.randn(2, 1, 9, 9, dtype=torch.float64)).square().sum().backward()
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in net.parameters())


def test_shared_maps_are_counted_once():
    own, shared = (network((PERIODIC, PERIODIC), FactorisedNetwork, shared=s) for s in (False, True))
    spectral = sum(p.numel() for p in own.layers[0].spectral.parameters())
    assert spectral == 2 * (2 * 4 - 1) * 6 * 6
    count = [sum(p.numel() for p in net.parameters()) for net in (own, shared)]
    assert count[0] - count[1] == 2 * spectral


@pytest.mark.parametrize("grid", [(9, 7), (5, 8)])
@pytest.mark.parametrize("ends", [((True, False), (False, False)), ((True, True), (False, True)), ((True, True),) * 2])
def test_values_at_some_ends(grid, ends):
    mask = ends_mask(grid, ends)
    b = ends_bubble(grid, ends, torch.zeros(1)).numpy()
    np.testing.assert_array_equal(b == 0, mask)
    traces = np.random.default_rng(0).standard_normal((2, *grid))
    lift = ends_lift(traces, ends)
    np.testing.assert_array_equal(lift[:, mask], traces[:, mask])
    x = np.linspace(0, 1, grid[0])[:, None] + 0 * np.linspace(0, 1, grid[1])
    if ends[0] == (True, True):
        np.testing.assert_allclose(ends_lift(np.where(mask, 1 + x, np.nan), ends), 1 + x, rtol=1e-12)
    np.testing.assert_allclose(ends_lift(np.where(mask, 3.0, np.nan), ends), 3.0, rtol=1e-12)


@pytest.mark.parametrize("points", ["node", "cell"])
def test_fluxes_are_taken_out_exactly_and_only_them(points):
    axis = AxisSeries("cosine", points)
    for n in (9, 16, 33):
        x = axis.basis(1).places(n)
        weights = end_slope_weights(points, n)
        np.testing.assert_allclose(weights @ (3 - 2 * x[:3] + 5 * x[:3] ** 2), -2, rtol=1e-9)
        w = torch.randn(2, 1, n, 7, dtype=torch.float64)
        out = without_flux(w, ((True, True), (False, True)), (points, points)).numpy()
        last = end_slope_weights(points, 7)
        for slope in (
            out[:, :, :3].transpose(0, 1, 3, 2) @ weights,
            out[:, :, ::-1][:, :, :3].transpose(0, 1, 3, 2) @ weights,
        ):
            np.testing.assert_allclose(slope, 0, atol=1e-11)
        np.testing.assert_allclose(out[..., ::-1][..., :3] @ last, 0, atol=1e-11)
        flat = torch.tensor(1 - np.cos(2 * np.pi * x))[None, None, :, None]
        still = without_flux(flat, ((True, True), (False, False)), (points, points))
        assert float((still - flat).abs().max()) < 60 / n**2  # what has no flux keeps its values, to the order of h²


def wave(x, s, t):
    """1 on the low end of the second axis, no flux through its high end, periodic along the first."""
    return 1 + np.sin(2 * np.pi * (x[:, 0] + s)) * np.sin(np.pi * x[:, 1] / 2) + t * x[:, 1] * (2 - x[:, 1])


@pytest.mark.parametrize("fitter", [FNO, FFNO])
def test_mixed_boundaries(fitter, tmp_path):
    space, other = (Grid(cells, boundary=("periodic", ("dirichlet", "neumann"))) for cells in ((16, 12), (31, 25)))
    assert dirichlet_ends(space) == ((False, False), (True, False))
    surrogate = fitter(**TINY, zero_flux=True).fit(runs(space, wave))
    for s in (surrogate, surrogate.at(other)):
        unseen = runs(s.space, wave, 8, seed=1)
        found = s.predict(unseen.mu).field
        assert error(s, unseen) < 0.15
        np.testing.assert_allclose(found[:, :, 0], 1.0, rtol=1e-6)
        slope = (1.5 * found[:, :, -1] - 2 * found[:, :, -2] + 0.5 * found[:, :, -3]) * s.space.cells[1]
        assert np.abs(slope).max() < 1e-3
    save(surrogate, tmp_path / "model.nwidth")
    again = load(tmp_path / "model.nwidth")
    np.testing.assert_array_equal(again.at(other).predict(unseen.mu).field, found)


def test_values_that_differ_between_samples_are_not_imposed():
    space = Grid((12, 12), boundary=("neumann", "dirichlet"))
    surrogate = FNO(**TINY).fit(runs(space, lambda x, s, t: s + x[:, 1] * t))
    assert float(surrogate.module.network.active) == 0
    assert error(surrogate, runs(space, lambda x, s, t: s + x[:, 1] * t, 8, seed=1)) < 0.1


@pytest.mark.parametrize("fitter", [FNO, FFNO])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_tori_of_every_dimension_answer_alike_on_every_grid(fitter, dim):
    def moving(x, s, t):
        return (1 + t) * np.sin(2 * np.pi * (x[:, 0] + s)) + t * np.cos(2 * np.pi * x[:, -1])

    space, other = Torus((12,) * dim), Torus((17, 14, 9)[:dim])
    small = {**TINY, "modes": 2, "training": Training(epochs=4, rate=2e-2)}
    surrogate = fitter(**small).fit(runs(space, moving, 32))
    errors = [error(s, runs(s.space, moving, 8, seed=1)) for s in (surrogate, surrogate.at(other))]
    assert abs(errors[0] - errors[1]) < 0.02 * errors[0]


def test_a_flux_that_nobody_prescribed_is_refused():
    with pytest.raises(InputError, match="no end of .* has a prescribed flux"):
        FNO(**TINY, zero_flux=True).fit(runs(Grid((8, 8)), wave, 4))
    with pytest.raises(InputError, match="FFNO: expansion is 0"):
        FFNO(expansion=0)


@pytest.mark.slow
@pytest.mark.parametrize("fitter", [FNO, FFNO])
@pytest.mark.parametrize(
    "space",
    [(("periodic", ("dirichlet", "neumann")), "node"), (("neumann", "periodic"), "cell")],
    ids=["nodes", "cells"],
)
def test_mixed_boundaries_are_exported(fitter, space, tmp_path):
    grid = Grid((12, 10), boundary=space[0], centring=space[1])
    surrogate = fitter(modes=3, width=6, layers=2, training=Training(epochs=1)).fit(runs(grid, wave, 8))
    assert to_onnx(surrogate, tmp_path / "model.onnx").error < 1e-5

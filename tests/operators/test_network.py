"""The Fourier network: what it computes, on every grid; boundary values; symmetry of nothing it should not know."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nwidth.linmaps import to_dense
from nwidth.operators.block import FourierLayer
from nwidth.operators.boundary import boundary_mask, bubble, transfinite
from nwidth.operators.network import FourierNetwork, piece_size


def network(dim=2, modes=4, width=6, layers=3, channels=(2, 1), padding=0.25):
    torch.manual_seed(0)
    net = FourierNetwork(channels, (modes,) * dim, width, layers, padding).double()
    with torch.no_grad():  # the spectral part starts small; here it should matter
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def test_a_layer_is_its_dense_map_plus_a_pointwise_convolution():
    torch.manual_seed(1)
    layer = FourierLayer(3, (3, 2), (7, 6), (1.25, 1.25)).double()
    v = torch.randn(4, 3, 7, 6, dtype=torch.float64)
    dense = to_dense(layer.spectral)
    convolution = F.conv2d(v, layer.pointwise.weight[:, :, None, None], layer.pointwise.bias)
    expected = (v.reshape(4, -1) @ dense.T).reshape(v.shape) + convolution
    grid_first = v.permute(2, 3, 0, 1).contiguous()
    found = layer(grid_first, layer.spectral.transform((7, 6))).permute(2, 3, 0, 1)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_network_is_its_formula(dim):
    net = network(dim)
    grid = (7, 6, 5)[:dim]
    x = torch.randn(2, 1, *grid, dtype=torch.float64)
    lines = torch.meshgrid(*[torch.linspace(-1, 1, n, dtype=torch.float64) for n in grid], indexing="ij")
    v = torch.cat([x, torch.stack(lines).expand(2, dim, *grid)], dim=1)
    v = torch.einsum("oi,bi...->bo...", net.lift.weight, v) + net.lift.bias.reshape(-1, *(1,) * dim)
    for number, layer in enumerate(net.layers):
        v = F.gelu(v) if number else v
        pointwise = torch.einsum("oi,bi...->bo...", layer.pointwise.weight, v)
        v = layer.spectral(v) + pointwise + layer.pointwise.bias.reshape(-1, *(1,) * dim)
    v = F.gelu(torch.einsum("oi,bi...->bo...", net.hidden.weight, v) + net.hidden.bias.reshape(-1, *(1,) * dim))
    v = torch.einsum("oi,bi...->bo...", net.project.weight, v) + net.project.bias.reshape(-1, *(1,) * dim)
    torch.testing.assert_close(net(x), v, rtol=1e-11, atol=1e-11)


def test_the_same_function_at_every_resolution():
    """Smooth input on finer grids: the output converges at the order of the trapezoidal rule."""
    net, outputs = network(), []
    for n in (17, 33, 65, 129):
        x = torch.linspace(0, 1, n, dtype=torch.float64)
        field = torch.sin(3 * x)[:, None] * torch.exp(x)
        step = (n - 1) // 16
        outputs.append(net(field[None, None])[0, :, ::step, ::step].detach())
    gaps = [float((a - b).abs().max() / b.abs().max()) for a, b in pairwise(outputs)]
    np.testing.assert_allclose(np.log2(np.array(gaps[:-1]) / gaps[1:]), 2, atol=0.25)
    assert gaps[-1] < 1e-3


def test_odd_and_even_sizes_agree():
    """Grids of which none contains the other, compared with a fine one at the nodes that all share."""
    net = network()

    def at_thirds(n):
        x = torch.linspace(0, 1, n + 1, dtype=torch.float64)
        out = net((torch.cos(2 * x)[:, None] * x)[None, None])[0, 0].detach()
        return out[:: n // 3, :: n // 3]

    fine = at_thirds(384)
    errors = [float((at_thirds(n) - fine).abs().max() / fine.abs().max()) for n in (45, 48, 66)]
    assert max(errors) < 1e-2
    assert errors[2] < errors[0]


def test_every_parameter_is_trained():
    net = network()
    net(torch.randn(2, 1, 9, 9, dtype=torch.float64)).square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in net.parameters())
    assert not any(p.is_complex() for p in net.parameters())


def test_pieces_shrink_with_the_grid():
    assert piece_size(65 * 65, 24) == 9
    assert piece_size(10**9, 24) == 1


@pytest.mark.parametrize("grid", [(9,), (8, 5), (5, 6, 4)])
def test_boundary_values_are_continued_exactly_and_linearly(grid):
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((3, 2, *grid))
    lift = transfinite(traces, len(grid))
    mask = boundary_mask(grid)
    np.testing.assert_array_equal(lift[..., mask], traces[..., mask])
    # multilinear functions are reproduced inside, whatever stands there
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in grid], indexing="ij")
    linear = 1 + sum((d + 1) * a for d, a in enumerate(axes)) + np.prod(axes, axis=0)
    dirty = np.where(mask, linear, np.nan)
    np.testing.assert_allclose(transfinite(dirty, len(grid)), linear, rtol=1e-13)


def test_the_bubble_vanishes_exactly_on_the_boundary_only():
    for grid in ((65, 65), (46, 33), (7,), (5, 6, 7)):
        b = bubble(grid, torch.float32, torch.device("cpu")).numpy()
        np.testing.assert_array_equal(b == 0, boundary_mask(grid))
    assert bubble((65, 65), torch.float64, torch.device("cpu"))[32, 32] == 1

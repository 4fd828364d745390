"""Multigrid domain decomposition: exact partitions, stencils that agree with the whole domain, any grid."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.operators.conftest import averaged_runs
from tests.operators.test_conformance import Checked
from torch import nn

import nwidth as nw
from nwidth.core.errors import InputError
from nwidth.operators.mg_tfno import MultigridArchitecture, PatchedNetwork
from nwidth.operators.patches import AxisPatches, cut, joined, levels_of


class TestMGTFNO(Checked):
    def fitter(self, training):
        return nw.operators.MGTFNO(modes=3, width=6, layers=2, rank=0.3, patches=2, levels=1, training=training)


class Stencil(nn.Module):
    """A random convolution of radius 2 followed by something nonlinear; its border is zero padded."""

    def __init__(self, dim):
        super().__init__()
        torch.manual_seed(0)
        conv = (nn.Conv1d, nn.Conv2d)[dim - 1]
        self.conv = conv(1, 2, 5, padding="same").double()

    def forward(self, x):
        return torch.sin(self.conv(x))


GRIDS = [((16,), (4,)), ((17,), (4,)), ((23,), (5,)), ((16, 15), (2, 3)), ((11, 13), (2, 1)), ((10, 9), (4, 4))]


@pytest.mark.parametrize(("grid", "counts"), GRIDS)
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("halo", [0.0, 0.2, 0.7])
def test_cutting_and_joining_is_the_identity(grid, counts, periodic, halo):
    axes = [AxisPatches(count, halo, periodic) for count in counts]
    x = torch.randn(2, 3, *grid)
    windows = cut(x, axes)
    assert windows.shape[0] == 2 * int(np.prod(counts))
    assert all(size % 2 == 1 for size in windows.shape[2:])
    torch.testing.assert_close(joined(windows, axes, grid), x, rtol=0, atol=0)


@pytest.mark.parametrize(("grid", "counts"), GRIDS)
def test_a_stencil_within_the_halo_is_the_stencil_of_the_whole(grid, counts):
    """Periodic domain: the same numbers as on the whole grid with circular padding; and the same gradients."""
    stencil = Stencil(len(grid))
    net = PatchedNetwork(stencil, tuple(AxisPatches(c, 2.0 / min(grid), True) for c in counts), 0)
    x = torch.randn(2, 1, *grid, dtype=torch.float64, requires_grad=True)
    padded = F.pad(x, (2, 2) * len(grid), mode="circular")
    inner = (slice(None), slice(None), *(slice(2, -2),) * len(grid))
    expected, found = stencil(padded)[inner], net(x)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    weight = torch.randn_like(expected)
    (one,) = torch.autograd.grad((expected * weight).sum(), x, retain_graph=True)
    (other,) = torch.autograd.grad((found * weight).sum(), x)
    torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)


def test_without_a_halo_a_stencil_differs_at_the_cuts_only():
    stencil = Stencil(1)
    net = PatchedNetwork(stencil, (AxisPatches(2, 0.0, True),), 0)
    x = torch.randn(1, 1, 32, dtype=torch.float64)
    expected = stencil(F.pad(x, (2, 2), mode="circular"))[..., 2:-2]
    wrong = ((net(x) - expected).abs() > 1e-12).any(dim=1)[0]
    assert set(torch.nonzero(wrong)[:, 0].tolist()) <= {0, 1, 14, 15, 16, 17, 30, 31}
    assert wrong.any()


def test_other_ends_are_mirrored():
    axis = AxisPatches(2, 0.25, False)
    nodes = axis.nodes(9, 0)
    assert nodes.tolist() == [[2, 1, 0, 1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7, 8, 7, 6]]
    assert axis.owners(9).tolist() == [2, 3, 4, 5, 11, 12, 13, 14, 15]


def test_wider_views_are_centred_and_smoothed():
    """A linear function keeps its values under the means; level l sees them 2^l apart around the same middle."""
    axes = [AxisPatches(2, 0.125, True)]
    x = torch.arange(64, dtype=torch.float64)[None, None]
    views = levels_of(x, axes, 2)
    assert views.shape == (2, 3, 49)
    middle = 24
    first = views[0]
    assert first[0, middle] == first[1, middle] == first[2, middle] == 16
    steps = [first[level, middle + 1] - first[level, middle] for level in range(3)]
    assert steps == [1, 2, 4]
    wave = torch.cos(torch.pi * torch.arange(64, dtype=torch.float64))[None, None]  # too short for a coarser view
    assert levels_of(wave, axes, 1)[:, 1].abs().max() < 1e-14


def test_views_of_a_finer_grid_are_the_same_function():
    axes = [AxisPatches(2, 0.125, True)]
    coarse, fine = (
        levels_of(torch.cos(2 * torch.pi * torch.arange(n, dtype=torch.float64) / n)[None, None], axes, 0)
        for n in (64, 128)
    )
    torch.testing.assert_close(fine[..., ::2], coarse, rtol=0, atol=1e-13)


def test_it_learns_and_answers_on_other_grids():
    runs, test = averaged_runs(12, 48), averaged_runs(17, 8, seed=1)
    training = nw.operators.Training(epochs=20, batch=8)
    fitter = nw.operators.MGTFNO(modes=3, width=8, layers=2, rank=0.3, patches=(2, 2), training=training)
    surrogate = fitter.fit(runs, seed=0)
    assert isinstance(surrogate.architecture, MultigridArchitecture)
    other = surrogate.at(test.space, test.parameters)
    for model, data in ((surrogate, runs), (other, test)):
        error = model.predict(data.mu).values - data.fields
        assert np.linalg.norm(error) < 0.5 * np.linalg.norm(data.fields - 2.1)


def test_bad_configurations_are_refused():
    for bad in ({"patches": 0}, {"levels": -1}, {"halo": 1.5}, {"rank": 0.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            nw.operators.MGTFNO(**bad)
    with pytest.raises(InputError, match="patches"):
        nw.operators.MGTFNO(modes=2, width=4, rank=0.5, patches=(2, 2, 2)).fit(averaged_runs(12, 4))
    net = PatchedNetwork(nn.Identity(), (AxisPatches(4, 0.1, True),), 0)
    with pytest.raises(InputError, match="2 nodes per patch"):
        net(torch.zeros(1, 1, 7))

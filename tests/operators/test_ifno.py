"""The implicit Fourier operator: one layer, as many steps as one likes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.operators.conftest import averaged_runs

import nwidth as nw
from nwidth.operators.boundaries.axes import series_of
from nwidth.operators.ifno import IFNO, ImplicitNetwork
from nwidth.spaces.torus import Torus


def torus_network(steps: int, dim: int = 1) -> ImplicitNetwork:
    torch.manual_seed(0)
    axes = series_of(Torus((16,) * dim), dim, "auto", 0.0)
    return ImplicitNetwork((1, 1), (4,) * dim, 6, steps, axes, coordinates=False).double()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_steps_are_written_out(steps):
    """Against the recursion with NumPy's FFT and the same weights."""
    net = torus_network(steps)
    x = torch.randn(3, 1, 16, dtype=torch.float64)
    spectral, n = net.layer.spectral, 16
    weight = spectral.real.detach().numpy().astype(complex)
    weight[1:] += 1j * spectral.imag.detach().numpy()

    def layer(v: np.ndarray) -> np.ndarray:
        c = np.fft.rfft(v, axis=1)[:, :4]
        full = np.zeros((len(v), n // 2 + 1, 6), dtype=complex)
        full[:, :4] = np.einsum("bki,kio->bko", c, weight)
        local = net.layer.pointwise
        return (
            np.fft.irfft(full, n=n, axis=1) + F.linear(torch.from_numpy(v), local.weight, local.bias).detach().numpy()
        )

    v = net.lift(x.movedim(1, -1)).detach().numpy()
    for step in range(steps):
        v = v + layer(F.gelu(torch.from_numpy(v)).numpy() if step else v)
    expected = net.project(F.gelu(net.hidden(torch.from_numpy(v)))).movedim(-1, 1)
    torch.testing.assert_close(net(x), expected, rtol=1e-10, atol=1e-12)


def test_depth_costs_no_parameters():
    counts = {sum(p.numel() for p in torus_network(steps).parameters()) for steps in (1, 4, 9)}
    assert len(counts) == 1


def test_commutes_with_translations_on_a_torus():
    net = torus_network(4, dim=2)
    x = torch.randn(2, 1, 16, 15, dtype=torch.float64)
    moved = net(x.roll((3, -5), (2, 3)))
    torch.testing.assert_close(moved, net(x).roll((3, -5), (2, 3)), rtol=1e-10, atol=1e-12)


def test_derivatives():
    net = torus_network(3)
    x = torch.randn(2, 1, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: net(x), (x, *net.parameters()))


def test_learns_and_is_saved(tmp_path):
    runs = averaged_runs(12, 40)
    fitter = IFNO(modes=4, width=8, steps=3, training=nw.Training(epochs=8, rate=1e-2))
    trained = fitter.fit(runs, seed=0)
    assert trained.history.validation[trained.history.best_epoch] < 0.5 * trained.history.validation[0]
    nw.save(trained, tmp_path / "a.nwidth")
    again = nw.load(tmp_path / "a.nwidth")
    mu = {name: values[:3] for name, values in runs.mu.items()}
    np.testing.assert_array_equal(again.predict(mu).field, trained.predict(mu).field)


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("width", 0), ("modes", 0), ("padding", 2.0)])
def test_refuses_sizes_that_make_no_sense(name, value):
    with pytest.raises(nw.InputError, match=name):
        IFNO(**{name: value})

"""Every kind of linear map against an oracle of its own."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError
from nwidth.linmaps import Dense, TruncatedFourier
from nwidth.linmaps.half_space import frequencies, rows_of
from nwidth.testing.linmaps import LinearMapConformance


class TestDense(LinearMapConformance):
    def make(self):
        return Dense((2, 3), (5,), dtype=torch.float64)

    def oracle(self, linear_map):
        return linear_map.real.detach().numpy()


class TestDenseComplex(LinearMapConformance):
    def make(self):
        return Dense(4, (2, 3), complex_entries=True, dtype=torch.float64)

    def oracle(self, linear_map):
        return linear_map.real.detach().numpy() + 1j * linear_map.imag.detach().numpy()


def explicit_sum(linear_map):
    """O(N²) sum over frequencies, output and input points: written from the formula, sharing no code with the map."""
    (out, *grid), (inp, *_) = linear_map.shape
    period = linear_map.period
    axes, weights, points = [], [], []
    for axis, n in enumerate(grid):
        if period is None:
            axes.append(np.arange(n) / n)  # in periods
            weights.append(np.full(n, 1 / n))
            points.append(n)
        else:
            axes.append(np.linspace(0, 1, n) / period[axis])
            w = np.ones(n)
            w[0] = w[-1] = 0.5
            weights.append(w / (n - 1) / period[axis])
            points.append((n - 1) * period[axis])
    x = np.array(list(product(*axes)))
    w = np.array([np.prod(p) for p in product(*weights)])
    matrix = np.zeros((out, len(x), inp, len(x)), dtype=complex)
    real, imag = linear_map.real.detach().numpy(), linear_map.imag.detach().numpy()
    for row, k in enumerate(frequencies(linear_map.modes)):
        if any(2 * abs(kj) >= n for kj, n in zip(k, points, strict=True)):
            continue  # this grid cannot tell it from another frequency
        weight = real[row] + (1j * imag[row - 1] if row else 0)  # (C_in, C_out)
        for signed, value in ((k, weight), (-k, weight.conj())) if row else ((k, weight),):
            wave = np.exp(2j * np.pi * x @ signed)
            matrix += np.einsum("io,x,y,y->oxiy", value, wave, wave.conj(), w)
    assert np.abs(matrix.imag).max() < 1e-12
    return matrix.real.reshape(out * len(x), inp * len(x))


class FourierConformance(LinearMapConformance):
    def oracle(self, linear_map):
        return explicit_sum(linear_map)


class TestFourier1D(FourierConformance):
    def make(self):
        return TruncatedFourier((2, 3), (4,), (9,), dtype=torch.float64)


class TestFourier2DOdd(FourierConformance):
    def make(self):
        return TruncatedFourier((1, 2), (2, 3), (5, 7), dtype=torch.float64)


class TestFourier2DPadded(FourierConformance):
    def make(self):
        return TruncatedFourier((2, 1), (3, 2), (6, 5), period=(1.25, 1.0), dtype=torch.float64)


class TestFourier3D(FourierConformance):
    def make(self):
        return TruncatedFourier((1, 1), (2, 2, 2), (4, 3, 5), dtype=torch.float64)


class TestFourierByFFT(FourierConformance):
    counted = False

    def make(self):
        return TruncatedFourier((2, 1), (3, 2), (7, 6), method="fft", dtype=torch.float64)


class TestFourierBelowNyquist(FourierConformance):
    """A grid too coarse for all frequencies: the oracle drops the same ones, and only those."""

    def make(self):
        return TruncatedFourier((1, 1), (4, 3), (6, 3), dtype=torch.float64)

    test_no_parameter_is_redundant = None  # this grid does not see the frequencies that it drops


def test_half_space_holds_one_of_each_pair():
    k = {tuple(row) for row in frequencies((3, 2, 4))}
    assert len(k) == (5 * 3 * 7 + 1) // 2
    assert all(tuple(-j for j in row) not in k for row in k if any(row))
    np.testing.assert_array_equal(frequencies((3, 2, 4))[rows_of((2, 2, 3), (3, 2, 4))], frequencies((2, 2, 3)))


def waves(grid, rng, nodal=False):
    """A trigonometric polynomial of degree 5 as a function of the grid."""
    axes = [np.linspace(0, 1, n) if nodal else np.arange(n) / n for n in grid]
    x, y = np.meshgrid(*axes, indexing="ij")
    total = np.zeros((1, 2, *grid))
    for k, m in product(range(6), range(-5, 6)):
        for channel in range(2):
            a, b = rng.standard_normal(2)
            total[0, channel] += a * np.cos(2 * np.pi * (k * x + m * y)) + b * np.sin(2 * np.pi * (k * x + m * y))
    return torch.tensor(total)


@pytest.mark.parametrize("method", ["matrix", "fft"])
def test_band_limited_functions_are_exact_on_every_grid(method):
    linear_map = TruncatedFourier((2, 2), (8, 8), (64, 64), method=method, dtype=torch.float64)
    on_64 = linear_map(waves((64, 64), np.random.default_rng(1)))
    on_128 = linear_map(waves((128, 128), np.random.default_rng(1)))
    np.testing.assert_allclose(on_128[..., ::2, ::2].detach(), on_64.detach(), atol=1e-12)
    on_45 = linear_map(waves((45, 45), np.random.default_rng(1)))
    on_90 = linear_map(waves((90, 90), np.random.default_rng(1)))
    np.testing.assert_allclose(on_90[..., ::2, ::2].detach(), on_45.detach(), atol=1e-12)
    np.testing.assert_allclose(on_90[..., 0, 0].detach(), on_64[..., 0, 0].detach(), atol=1e-12)


def test_a_nodal_grid_of_one_period_is_the_periodic_grid():
    periodic = TruncatedFourier((2, 2), (8, 7), (64, 45), dtype=torch.float64)
    nodal = TruncatedFourier((2, 2), (8, 7), (65, 46), period=(1.0, 1.0), dtype=torch.float64)
    nodal.load_state_dict(periodic.state_dict())
    x = waves((65, 46), np.random.default_rng(2), nodal=True)
    np.testing.assert_allclose(nodal(x)[..., :-1, :-1].detach(), periodic(x[..., :-1, :-1]).detach(), atol=1e-12)


def test_padding_is_a_physical_length():
    """The same smooth function on finer grids converges to one result, at the order of the trapezoidal rule."""
    torch.manual_seed(3)
    linear_map = TruncatedFourier((1, 1), (6, 6), (17, 17), period=(1.25, 1.25), dtype=torch.float64)
    results = []
    for n in (17, 33, 65, 129):
        x = torch.linspace(0, 1, n, dtype=torch.float64)
        smooth = (torch.exp(x)[:, None] * torch.cos(x))[None, None]
        results.append(linear_map(smooth)[0, 0, :: (n - 1) // 16, :: (n - 1) // 16].detach())
    gaps = [float((a - b).abs().max() / b.abs().max()) for a, b in pairwise(results)]
    orders = np.log2(np.array(gaps[:-1]) / gaps[1:])
    np.testing.assert_allclose(orders, 2, atol=0.1)
    assert gaps[-1] < 4e-3


def test_coarser_grids_drop_the_frequencies_they_cannot_carry():
    linear_map = TruncatedFourier((1, 1), (8, 8), (64, 64), dtype=torch.float64)
    x = torch.linspace(0, 1, 11, dtype=torch.float64)[:-1]
    wave = torch.cos(2 * np.pi * (4 * x[:, None] + 2 * x))[None, None]
    fine = torch.linspace(0, 1, 41, dtype=torch.float64)[:-1]
    fine_wave = torch.cos(2 * np.pi * (4 * fine[:, None] + 2 * fine))[None, None]
    np.testing.assert_allclose(linear_map(wave).detach(), linear_map(fine_wave)[..., ::4, ::4].detach(), atol=1e-12)


def test_another_grid_shares_the_parameters():
    linear_map = TruncatedFourier((2, 3), (3, 3), (8, 8), dtype=torch.float64)
    other = linear_map.at((11, 9))
    assert other.shape == ((2, 11, 9), (3, 11, 9))
    assert other.real is linear_map.real


def test_bad_configurations_are_refused():
    with pytest.raises(InputError, match="one entry per axis"):
        TruncatedFourier((1, 1), (3,), (8, 8))
    with pytest.raises(InputError, match="period"):
        TruncatedFourier((1, 1), (3,), (8,), period=(0.5,))
    with pytest.raises(InputError, match="periodic grid"):
        TruncatedFourier((1, 1), (3,), (9,), period=(1.0,), method="fft")(torch.randn(1, 1, 9))

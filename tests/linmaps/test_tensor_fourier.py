"""Spectral convolutions with low-rank weights against the sum over frequencies that they stand for."""

from itertools import product

import numpy as np
import pytest
import torch
from tests.linmaps.test_linmaps import explicit_sum

from nwidth.core.errors import InputError
from nwidth.linmaps import TruncatedFourier
from nwidth.linmaps.half_space import frequencies
from nwidth.linmaps.spectral_weights import CPWeights, TensorTrainWeights, TuckerWeights
from nwidth.linmaps.tensor_fourier import Order, Sizes, TensorFourier, best_order, convolve
from nwidth.testing.linmaps import LinearMapConformance

DOUBLE = {"dtype": torch.float64}


def rows_of_axes(modes):
    """(rows of the frequency axes for the real part, the same for the imaginary part or None) of each frequency."""
    for k in frequencies(modes):
        place = [int(kj) % (2 * m - 1) for kj, m in zip(k, modes, strict=True)]
        shift = modes[0] - 1 if len(modes) == 1 else 2 * modes[-1] - 1
        yield place, [*place[:-1], place[-1] + shift] if k.any() else None


def numbers(parameters):
    return [p.detach().numpy() for p in parameters]


def tucker_entry(w, layer, row, rows):
    """(C_in, C_out) at one frequency, from the formula of the docstring."""
    core, inward, outward = numbers([w.core, w.inward, w.outward])
    core = core[layer] if w.mixture is None else np.tensordot(w.mixture.detach().numpy()[layer], core, 1)
    if not w.axes:
        return inward @ core[row] @ outward
    for axis, place in zip(numbers(w.axes), rows, strict=True):
        core = np.tensordot(axis[place], core, 1)
    return inward @ core @ outward


def train_entry(w, layer, row, rows):
    inward, outward = numbers([w.inward, w.outward])
    left = inward[layer] if w.mixture is None else np.tensordot(w.mixture.detach().numpy()[layer], inward, 1)
    for car, place in zip(numbers(w.cars), rows, strict=True):
        left = left @ car[:, place]
    return left @ outward


def cp_entry(w, layer, row, rows):
    inward, outward = numbers([w.inward, w.outward])
    scale = np.ones(inward.shape[1]) if w.mixture is None else w.mixture.detach().numpy()[layer].copy()
    for axis, place in zip(numbers(w.axes), rows, strict=True):
        scale *= axis[place]
    return (inward * scale) @ outward


ENTRIES = {TuckerWeights: tucker_entry, TensorTrainWeights: train_entry, CPWeights: cp_entry}


def dense_of(linear_map, layer=0):
    """The dense spectral convolution, its weight put together entry by entry."""
    w, half = linear_map.weights, linear_map.weights.pairs
    whole = TruncatedFourier(w.channels, w.modes, linear_map.grid, period=linear_map.period, dtype=torch.float64)
    entry = ENTRIES[type(w)]
    for row, (real, imag) in enumerate(rows_of_axes(w.modes)):
        whole.real.data[row] = torch.from_numpy(entry(w, layer, row, real))
        if imag is not None:
            whole.imag.data[row - 1] = torch.from_numpy(entry(w, layer, half + row, imag))
    return whole


class TensorFourierConformance(LinearMapConformance):
    weights = None
    grid = (3, 4)
    period = None

    @property
    def gauge(self):
        return self.weights().gauge

    def make(self):
        return TensorFourier(self.weights(), self.grid, period=self.period)

    def oracle(self, linear_map):
        return explicit_sum(dense_of(linear_map))


class TestTuckerOfChannels(TensorFourierConformance):
    def weights(self):
        return TuckerWeights((2, 3), (2, 2), (2, 1), **DOUBLE)


class TestTucker(TensorFourierConformance):
    grid = (5, 6)
    period = (1.25, 1.0)

    def weights(self):
        return TuckerWeights((2, 2), (3, 3), (1, 2), frequencies=(2, 2), **DOUBLE)


class TestTucker1D(TensorFourierConformance):
    grid = (5,)
    period = (1.5,)

    def weights(self):
        return TuckerWeights((2, 3), (3,), (2, 2), frequencies=(3,), **DOUBLE)


class TestTensorTrain(TensorFourierConformance):
    grid = (5, 6)

    def weights(self):
        return TensorTrainWeights((2, 2), (3, 3), (2, 2, 1), **DOUBLE)


class TestTensorTrain3D(TensorFourierConformance):
    grid = (5, 4, 3)

    def weights(self):
        return TensorTrainWeights((1, 2), (3, 2, 2), (1, 2, 2, 1), **DOUBLE)


class TestCP(TensorFourierConformance):
    def weights(self):
        return CPWeights((2, 2), (2, 2), 2, **DOUBLE)


class TestByFFT(TensorFourierConformance):
    counted = False

    def weights(self):
        return TuckerWeights((2, 2), (2, 2), (1, 1), **DOUBLE)

    def make(self):
        return TensorFourier(self.weights(), (4, 3), method="fft")


MADE = {
    "tucker": lambda **kw: TuckerWeights((6, 5), (4, 3), (3, 2), **kw),
    "tucker-frequencies": lambda **kw: TuckerWeights((6, 5), (4, 3), (3, 2), frequencies=(2, 5), **kw),
    "tt": lambda **kw: TensorTrainWeights((6, 5), (4, 3), (2, 3, 4), **kw),
    "cp": lambda **kw: CPWeights((6, 5), (4, 3), 3, **kw),
}
ORDERS = [Order(*sides) for sides in product((True, False), repeat=2)] + [Order(False, False, whole=True)]


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("order", ORDERS, ids=lambda o: f"{o.inward:d}{o.outward:d}{o.whole:d}")
def test_every_order_of_contraction_gives_one_result(name, order):
    torch.manual_seed(0)
    linear_map = TensorFourier(MADE[name](**DOUBLE), (9, 8))
    prepared = linear_map.transform((9, 8))
    v = torch.randn(9, 8, 2, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 8, 2, 6, dtype=torch.float64)
    expected = linear_map.dense().convolve(v, prepared)
    (by_v,) = torch.autograd.grad((expected * weight).sum(), v)
    found = convolve(v, prepared, linear_map.weights.factors(), order=order)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    (found * weight).sum().backward()
    torch.testing.assert_close(v.grad, by_v, rtol=1e-12, atol=1e-12)
    onto = torch.ones(9, 8, 2, 6, dtype=torch.float64)
    added = convolve(v.detach(), prepared, linear_map.weights.factors(), order=order, onto=onto)
    torch.testing.assert_close(added.detach(), expected.detach() + 1, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "weights",
    [
        lambda: TuckerWeights((3, 3), (3, 3), (2, 2), shared=2, layers=4, **DOUBLE),
        lambda: TuckerWeights((3, 3), (3, 3), (2, 2), frequencies=(2, 3), layers=3, **DOUBLE),
        lambda: TensorTrainWeights((3, 3), (3, 3), (2, 2, 2), shared=2, layers=4, **DOUBLE),
        lambda: TensorTrainWeights((3, 3), (3, 3), (2, 2, 2), layers=3, **DOUBLE),
        lambda: CPWeights((3, 3), (3, 3), 2, layers=4, **DOUBLE),
    ],
)
def test_layers_with_common_factors_are_slices_of_one_tensor(weights):
    torch.manual_seed(0)
    made = weights()
    linear_map = TensorFourier(made, (6, 7))
    for layer in range(made.layers):
        real, imag = made.factors(layer).dense()
        expected = dense_of(linear_map, layer)
        torch.testing.assert_close(real, expected.real, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(imag, expected.imag, rtol=1e-12, atol=1e-12)


def test_fewer_parameters_are_fewer_operations():
    """32 channels, 16 modes, 10 % of the parameters: at most 60 % of the operations of the dense layer."""
    for weights in (TuckerWeights((32, 32), (16, 16), (8, 12)), TensorTrainWeights((32, 32), (16, 16), (8, 96, 12))):
        linear_map = TensorFourier(weights, (64, 64))
        size = sum(p.numel() for p in weights.parameters())
        assert 0.08 * weights.dense_size < size <= 0.1 * weights.dense_size
        assert linear_map.cost(16).flops < 0.6 * linear_map.dense().cost(16).flops


def test_high_ranks_are_multiplied_out_first():
    linear_map = TensorFourier(CPWeights((8, 8), (8, 8), 500), (16, 16))
    prepared = linear_map.transform((16, 16))
    assert best_order(Sizes.of(linear_map.weights.factors(), prepared, 64), prepared).whole


def test_fresh_weights_have_the_asked_scale():
    torch.manual_seed(0)
    for make in (
        lambda: TuckerWeights((16, 16), (6, 6), (4, 4), frequencies=(3, 8), shared=2, layers=4, scale=0.5),
        lambda: TensorTrainWeights((16, 16), (6, 6), (4, 8, 4), shared=2, layers=4, scale=0.5),
        lambda: CPWeights((16, 16), (6, 6), 8, layers=4, scale=0.5),
    ):
        drawn = torch.cat([torch.cat(make().factors(1).dense()).flatten() for _ in range(60)])
        assert float(drawn.detach().std()) == pytest.approx(0.5, rel=0.15)


def test_bad_ranks_are_refused():
    with pytest.raises(InputError, match="expected 2 of them"):
        TuckerWeights((3, 3), (4, 4), (2,))
    with pytest.raises(InputError, match="ranks"):
        TuckerWeights((3, 3), (4, 4), (4, 2))
    with pytest.raises(InputError, match="ranks"):
        TensorTrainWeights((3, 3), (4, 4), (3, 100, 3))
    with pytest.raises(InputError, match="rank 0"):
        CPWeights((3, 3), (4, 4), 0)
    with pytest.raises(InputError, match="one entry per axis"):
        TensorFourier(CPWeights((3, 3), (4, 4), 1), (8,))
    with pytest.raises(InputError, match=r"expected \(B, 3, n1, n2\)"):
        TensorFourier(CPWeights((3, 3), (4, 4), 1), (8, 8))(torch.zeros(1, 2, 8, 8))

"""The sum of maps along the axes against dense one-dimensional maps."""

import numpy as np
import pytest
import torch

from nwidth.linmaps import to_dense
from nwidth.linmaps.basis import FourierBasis
from nwidth.linmaps.cosine import CosineBasis
from nwidth.linmaps.factorised import FactorisedSeries
from nwidth.linmaps.fourier import TruncatedFourier
from nwidth.linmaps.series import TruncatedSeries
from nwidth.testing import linmaps as suite
from nwidth.testing.linmaps import LinearMapConformance


@pytest.fixture(autouse=True)
def count_products_that_add_in_place(monkeypatch):
    monkeypatch.setitem(suite._PRODUCTS, "aten.baddbmm_.default", 1)


def oracle(linear_map):
    """Each K_j is a `TruncatedSeries` of one axis (tested on its own), repeated along the others."""
    (out, *grid), (inp, *_) = linear_map.shape
    total = 0
    for axis, (basis, n) in enumerate(zip(linear_map.bases, grid, strict=True)):
        line = TruncatedSeries((out, inp), (basis,), (n,), dtype=torch.float64)
        line.weight = linear_map.weights[axis]
        if line.turn is not None:
            line.turn = linear_map.turns[str(axis)]
        dense = to_dense(line).detach().numpy().reshape(out, n, inp, n)
        eyes = [np.eye(m) for number, m in enumerate(grid) if number != axis]
        others = [number for number in range(len(grid)) if number != axis]
        left, right = "bcd"[: len(grid)], "fgh"[: len(grid)]
        rule = f"o{left[axis]}i{right[axis]}," + ",".join(left[a] + right[a] for a in others)
        total = total + np.einsum(f"{rule.rstrip(',')}->o{left}i{right}", dense, *eyes)
    return total.reshape(out * int(np.prod(grid)), inp * int(np.prod(grid)))


class FactorisedConformance(LinearMapConformance):
    def oracle(self, linear_map):
        return oracle(linear_map)


class TestPeriodic(FactorisedConformance):
    def make(self):
        bases = FourierBasis(3, "periodic"), FourierBasis(2, "periodic")
        return FactorisedSeries((2, 1), bases, (7, 4), dtype=torch.float64)


class TestMixed(FactorisedConformance):
    def make(self):
        bases = FourierBasis(2, "node", 1.25), CosineBasis(2, "cell"), FourierBasis(2, "periodic")
        return FactorisedSeries((1, 2), bases, (4, 3, 4), dtype=torch.float64)


class TestTooCoarse(FactorisedConformance):
    def make(self):
        bases = FourierBasis(4, "periodic"), CosineBasis(6), FourierBasis(2, "periodic")
        return FactorisedSeries((1, 1), bases, (4, 4, 3), dtype=torch.float64)

    test_no_parameter_is_redundant = None


def test_one_axis_is_the_truncated_fourier_map():
    reference = TruncatedFourier((2, 3), (5,), (16,), dtype=torch.float64)
    factorised = FactorisedSeries((2, 3), (FourierBasis(5, "periodic"),), (16,), dtype=torch.float64)
    factorised.weights[0], factorised.turns["0"] = reference.real, reference.imag
    for n in (16, 9, 21):
        x = torch.randn(2, 3, n, dtype=torch.float64)
        torch.testing.assert_close(factorised(x), reference(x), rtol=1e-12, atol=1e-12)


def test_parameters_grow_with_the_sum_of_the_modes():
    bases = tuple(FourierBasis(m, "periodic") for m in (8, 9, 10))
    factorised = FactorisedSeries((4, 5), bases, (20, 20, 21))
    assert sum(p.numel() for p in factorised.parameters()) == (15 + 17 + 19) * 20

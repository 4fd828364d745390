"""Compositions, distances, conversion and compression: errors that are true, and misses that are reported."""

import sys
from math import prod

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError, WorkError
from nwidth.linmaps import (
    Dense,
    Goal,
    Kronecker,
    LowRank,
    SparseLowRank,
    TruncatedFourier,
    base,
    compose,
    compress,
    convert,
    parameter_count,
    relative_error,
    reshape,
    singular,
    to_dense,
)
from nwidth.testing.linmaps import LinearMapConformance

conversion = sys.modules["nwidth.linmaps.convert"]  # the package's attribute of this name is the function


def with_entries(matrix, outputs=None, inputs=None):
    made = Dense(outputs or matrix.shape[0], inputs or matrix.shape[1], dtype=torch.float64)
    made.real.data.copy_(torch.as_tensor(matrix))
    return made


def decaying(rows, columns, ratio, seed=0):
    """Singular values ratio^i, at random angles."""
    rng = np.random.default_rng(seed)
    k = min(rows, columns)
    u, v = (np.linalg.qr(rng.standard_normal((n, k)))[0] for n in (rows, columns))
    return u * ratio ** np.arange(float(k)) @ v.T


def norm_of(matrix):
    return np.linalg.norm(np.asarray(matrix))


def distance(found, source):
    a, b = (to_dense(m).detach().numpy() for m in (found, source))
    return norm_of(a - b) / norm_of(b)


class TestComposition(LinearMapConformance):
    gauge = 4  # a change of basis between the factors

    def make(self):
        return compose(Dense(4, 2, dtype=torch.float64), Dense(2, (2, 2), dtype=torch.float64))

    def oracle(self, linear_map):
        first, last = (m.real.detach().numpy() for m in linear_map.maps)
        return first @ last


class TestReshaped(LinearMapConformance):
    def make(self):
        return reshape(Dense((2, 3), 4, dtype=torch.float64), (3, 2), (2, 2))

    def oracle(self, linear_map):
        return linear_map.linear_map.real.detach().numpy()


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="takes"):
        compose(Dense(2, 3), Dense(4, 2))
    with pytest.raises(InputError, match="no maps"):
        compose()
    with pytest.raises(InputError, match="hold 5 numbers"):
        reshape(Dense(4, 3), (5,), (3,))
    with pytest.raises(InputError, match="sizes"):
        relative_error(Dense(2, 3), Dense(3, 2))


@pytest.mark.parametrize(("rows", "columns"), [(5, 9), (9, 5)])
def test_the_distance_of_two_matrices(rows, columns):
    """Over unit vectors of either side, for maps in other shapes and precision too."""
    torch.manual_seed(0)
    a, b = Dense(rows, columns, dtype=torch.float64), Dense((rows, 1), (1, columns), dtype=torch.float64)
    expected = norm_of(to_dense(b).detach() - to_dense(a).detach()) / norm_of(to_dense(a).detach())
    np.testing.assert_allclose(relative_error(b, a), expected, rtol=1e-12)
    np.testing.assert_allclose(relative_error(b.float(), a), expected, rtol=1e-5)
    assert relative_error(a, a) == 0


def test_the_distance_of_large_maps_is_a_bound(monkeypatch):
    """From random products: never below the truth in 50 draws, and at most twice as large."""
    monkeypatch.setattr(conversion, "EXACT", 8)
    rng = np.random.default_rng(0)
    source = with_entries(rng.standard_normal((40, 30)))
    for rank in (1, 25):  # one direction is the worst case of the proof
        shift = rng.standard_normal((40, rank)) @ rng.standard_normal((rank, 30))
        other = with_entries(source.real.detach().numpy() + shift)
        truth = distance(other, source)
        found = [relative_error(other, source, seed=seed) for seed in range(50)]
        assert truth <= min(found) and max(found) < 2.2 * truth


def test_large_maps_are_decomposed_from_products(monkeypatch):
    """Neither the matrix nor its transpose is formed: as few products as the rank needs, and the tolerance is met."""
    monkeypatch.setattr(singular, "DIRECT", 16)
    monkeypatch.setattr(conversion, "EXACT", 16)
    source = with_entries(decaying(300, 260, 0.7))
    counted = Counting(source)
    for tol in (0.1, 1e-3, 1e-6):
        found, error = convert(counted, LowRank, tol)
        assert distance(found, source) <= error <= tol
        best = int(np.ceil(np.log(tol) / np.log(0.7)))
        assert best <= found.rank <= best + 4
    assert counted.columns < 3 * (2 * 256 + 150)  # the error's own products are most of them
    fixed, error = convert(source, LowRank, budget=10 * 560)
    assert fixed.rank == 10
    np.testing.assert_allclose(distance(fixed, source), 0.7**10, rtol=1e-3)
    assert error >= 0.7**10


class Counting(base.LinearMap):
    """A map that counts the vectors it is applied to."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.columns = inner, 0

    @property
    def shape(self):
        return self.inner.shape

    def forward(self, x):
        self.columns += len(x)
        return self.inner(x)

    def adjoint(self, y):
        self.columns += len(y)
        return self.inner.adjoint(y)

    def cost(self, batch=1):
        return self.inner.cost(batch)


def test_a_complex_map_from_products(monkeypatch):
    monkeypatch.setattr(singular, "DIRECT", 4)
    torch.manual_seed(0)
    source = Dense(40, 30, complex_entries=True, dtype=torch.float64)
    z = decaying(40, 30, 0.3) * np.exp(1j * np.arange(30.0))
    source.real.data.copy_(torch.as_tensor(z.real))
    source.imag.data.copy_(torch.as_tensor(z.imag))
    found, error = convert(source, LowRank, 1e-3)
    np.testing.assert_allclose(distance(found, source), error, rtol=1e-9)
    assert error <= 1e-3 and found.rank <= 7
    _, error = convert(source, LowRank, budget=4 * 140)
    np.testing.assert_allclose(error, 0.3**4, rtol=0.05)


def test_any_map_can_be_the_source():
    """A spectral convolution, through its products alone: kept frequencies are its rank."""
    torch.manual_seed(0)
    source = TruncatedFourier((2, 2), (2, 2), (6, 5), dtype=torch.float64)
    found, error = convert(source, LowRank, 1e-10)
    assert found.shape == source.shape and found.rank == 2 * 9 and error < 1e-10
    x = torch.randn(3, 2, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(found(x), source(x))


def test_precision_and_error_of_single_precision_maps():
    source = with_entries(decaying(20, 15, 0.5)).float()
    found, error = convert(source, LowRank, 1e-2)
    assert found.left.dtype == torch.float32 and error <= 1e-2
    exact, error = convert(source, LowRank, 0.0)
    assert error < 1e-6 and exact.rank == 15


def test_a_zero_map():
    found, error = convert(with_entries(np.zeros((4, 5))), LowRank, 0.1)
    assert error == 0 and found.rank == 1


def test_goals_are_checked():
    for options in ({}, {"tol": 0.1, "budget": 3}, {"tol": 1.5}, {"tol": -1.0}, {"budget": 0}):
        with pytest.raises(InputError, match=r"tol|budget"):
            Goal(**options)
    with pytest.raises(InputError, match="budget"):
        convert(Dense(3, 3), Dense, budget=8)


def test_compress_finds_the_structure_that_is_there():
    """Each source is small in one kind only, and that kind is chosen: at a tolerance and at its own budget."""
    rng = np.random.default_rng(3)
    outlier = np.zeros((36, 36))
    outlier[rng.permutation(36)[:20], rng.permutation(36)[:20]] = 5.0
    low = np.outer(rng.standard_normal(36), rng.standard_normal(36))
    sources = {
        LowRank: low + np.outer(np.ones(36), rng.standard_normal(36)),
        SparseLowRank: low + outlier,
        Kronecker: np.kron(rng.standard_normal((6, 6)), rng.standard_normal((6, 6))),
    }
    for kind, matrix in sources.items():
        source = with_entries(matrix, (6, 6), (6, 6))
        found, error = compress(source, tol=1e-5)
        assert type(found) is kind and error <= 1e-5
        again, error = compress(source, budget=parameter_count(found))
        assert type(again) is kind and error <= 1e-5
        np.testing.assert_allclose(distance(again, source), error, atol=1e-12)


def test_compress_reports_what_was_achieved():
    torch.manual_seed(0)
    with pytest.raises(WorkError, match=r"Achieved: LowRank: error .* parameters"):
        compress(Dense((4, 4), (4, 4)), tol=1e-6)
    with pytest.raises(InputError, match="not known"):
        compress(Dense(4, 4), tol=0.1, kinds=["butterfly"])
    with pytest.raises(InputError, match="no kind applies: Kronecker"):
        compress(Dense(4, 4), tol=0.1, kinds=[Kronecker])


def test_a_kind_of_ones_own():
    source = with_entries(np.diag(np.arange(1.0, 9)))
    found, error = compress(source, tol=1e-12, kinds=["low-rank", Diagonal])
    assert isinstance(found, Diagonal) and error == 0 and parameter_count(found) == 8


class Diagonal(base.Approximant):
    """What the documentation's example does."""

    def __init__(self, size, dtype=torch.float32):
        super().__init__()
        self.size = size
        self.entries = torch.nn.Parameter(torch.ones(prod(size), dtype=dtype))

    @property
    def shape(self):
        return self.size, self.size

    def forward(self, x):
        return (x.flatten(1) * self.entries).reshape(-1, *self.size)

    def adjoint(self, y):
        return self(y)

    def cost(self, batch=1):
        return base.Cost(0, 0)

    @classmethod
    def approximate(cls, source, goal):
        made = cls(source.shape[1], base.placement(source)[0])
        made.entries.data.copy_(to_dense(source).diagonal())
        return made

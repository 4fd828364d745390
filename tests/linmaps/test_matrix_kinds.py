"""Low rank, low rank with entries, and Kronecker products, each against an oracle of its own."""

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError, WorkError
from nwidth.linmaps import Dense, Goal, convert, to_dense
from nwidth.linmaps.kronecker import Kronecker
from nwidth.linmaps.low_rank import LowRank
from nwidth.linmaps.sparse_low_rank import SparseLowRank
from nwidth.testing.linmaps import LinearMapConformance as Suite


class LinearMapConformance(Suite):
    empty_batches = True


def array(parameter):
    return parameter.detach().numpy()


class TestLowRank(LinearMapConformance):
    gauge = 4

    def make(self):
        return LowRank((2, 3), (5,), 2, dtype=torch.float64)

    def oracle(self, linear_map):
        return np.einsum("ir,jr->ij", array(linear_map.left), array(linear_map.right))


class TestLowRankComplex(LinearMapConformance):
    gauge = 8

    def make(self):
        return LowRank(4, (2, 3), 2, complex_entries=True, dtype=torch.float64)

    def oracle(self, linear_map):
        left = array(linear_map.left) + 1j * array(linear_map.left_imag)
        right = array(linear_map.right) + 1j * array(linear_map.right_imag)
        return np.einsum("ir,jr->ij", left, right)


class SparseConformance(LinearMapConformance):
    def oracle(self, linear_map):
        matrix = np.zeros([int(np.prod(side)) for side in linear_map.shape])
        for row, column, value in zip(linear_map.rows, linear_map.columns, linear_map.values, strict=True):
            matrix[int(row), int(column)] = value.item()
        if linear_map.low_rank is None:
            return matrix
        return matrix + array(linear_map.low_rank.left) @ array(linear_map.low_rank.right).T


class TestSparseLowRank(SparseConformance):
    gauge = 1

    def make(self):
        return SparseLowRank(
            (6,), (2, 3), 1, torch.tensor([0, 0, 2, 5, 3]), torch.tensor([1, 4, 2, 0, 3]), dtype=torch.float64
        )


class TestSparse(SparseConformance):
    def make(self):
        return SparseLowRank(4, 5, 0, torch.tensor([0, 0, 3, 2]), torch.tensor([1, 4, 2, 0]), dtype=torch.float64)


class KroneckerConformance(LinearMapConformance):
    def oracle(self, linear_map):
        total = 0.0
        for term in range(linear_map.terms):
            product = np.ones((1, 1))
            for factor in linear_map.factors:
                product = np.kron(product, array(factor)[term])
            total = total + product
        return total


class TestKronecker(KroneckerConformance):
    gauge = 1

    def make(self):
        return Kronecker((3, 2), (2, 4), dtype=torch.float64)


class TestKroneckerSum(KroneckerConformance):
    gauge = 4

    def make(self):
        return Kronecker((3, 2), (2, 4), 2, dtype=torch.float64)


class TestKroneckerThreeAxes(KroneckerConformance):
    gauge = 4

    def make(self):
        return Kronecker((2, 3, 2), (3, 2, 2), 2, dtype=torch.float64)


def with_entries(matrix, outputs=None, inputs=None):
    made = Dense(outputs or matrix.shape[0], inputs or matrix.shape[1], dtype=torch.float64)
    made.real.data.copy_(torch.as_tensor(matrix))
    return made


def test_low_rank_is_the_optimal_one():
    """Eckart and Young: the error is the norm of the singular values left out, and one rank less misses."""
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.standard_normal((n, 12)))[0] for n in (30, 20))
    s = 0.5 ** np.arange(12.0)
    source = with_entries(u * s @ v.T)
    norm = np.sqrt((s**2).sum())
    found, error = convert(source, LowRank, 0.02)
    assert found.rank == 6
    np.testing.assert_allclose(error, np.sqrt((s[6:] ** 2).sum()) / norm, rtol=1e-10)
    by_budget, error = convert(source, LowRank, budget=4 * 50 + 49)
    assert by_budget.rank == 4
    np.testing.assert_allclose(error, np.sqrt((s[4:] ** 2).sum()) / norm, rtol=1e-10)


def test_full_rank_is_the_dense_matrix():
    source = Dense(7, (2, 4), dtype=torch.float64)
    found, error = convert(source, LowRank, 0.0)
    assert found.rank == 7 and error < 1e-14
    np.testing.assert_allclose(array(to_dense(found)), array(source.real), atol=1e-14)


def test_a_complex_matrix_stays_complex():
    torch.manual_seed(0)
    source = Dense(6, 5, complex_entries=True, dtype=torch.float64)
    found, error = convert(source, LowRank, 0.0)
    assert error < 1e-13
    np.testing.assert_allclose(array(to_dense(found)), array(to_dense(source)), atol=1e-13)
    with pytest.raises(InputError, match="complex"):
        convert(source, SparseLowRank, 0.1)


def test_a_low_rank_matrix_with_outliers_is_taken_apart():
    """Rank 2 and 40 large entries: neither alone is small, both together are exact."""
    rng = np.random.default_rng(1)
    low = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 50))
    sparse = np.zeros(2000)
    sparse[rng.choice(2000, 40, replace=False)] = 10 * rng.choice([-1, 1], 40)
    source = with_entries(low + sparse.reshape(40, 50))
    found, error = convert(source, SparseLowRank, 1e-6)
    numbers = sum(p.numel() for p in found.parameters())
    assert error <= 1e-6 and numbers <= 2 * 90 + 40
    low_rank, _ = convert(source, LowRank, 1e-6)
    assert sum(p.numel() for p in low_rank.parameters()) > 10 * numbers
    by_budget, error = convert(source, SparseLowRank, budget=220)
    assert error < 1e-6 and sum(p.numel() for p in by_budget.parameters()) <= 220


def test_a_laplacian_in_two_dimensions_is_a_sum_of_two_products():
    n, m = 7, 5
    second = [2 * np.eye(k) - np.eye(k, k=1) - np.eye(k, k=-1) for k in (n, m)]
    source = with_entries(np.kron(second[0], np.eye(m)) + np.kron(np.eye(n), second[1]), (n, m), (n, m))
    found, error = convert(source, Kronecker, 1e-12)
    assert found.terms == 2 and error < 1e-13


def test_a_missed_tolerance_says_what_was_achieved():
    source = with_entries(np.random.default_rng(0).standard_normal((4, 4, 4, 4)).reshape(16, 16), (4, 4), (4, 4))
    with pytest.raises(WorkError, match=r"OneTerm reaches .*, 0\.001 was asked for"):
        convert(source, OneTerm, 1e-3)


class OneTerm(Kronecker):
    """A kind that cannot reach every tolerance."""

    @classmethod
    def approximate(cls, source, goal):
        return Kronecker.approximate(source, Goal(budget=32))


def test_three_axes():
    rng = np.random.default_rng(2)
    terms = [[rng.standard_normal((3, 3)) for _ in range(3)] for _ in range(2)]
    matrix = sum(np.kron(np.kron(a, b), c) for a, b, c in terms)
    source = with_entries(matrix, (3, 3, 3), (3, 3, 3))
    found, error = convert(source, Kronecker, 1e-6)
    assert found.terms == 2 and error <= 1e-6
    by_budget, error = convert(source, Kronecker, budget=27)
    assert by_budget.terms == 1 and 0.05 < error < 1


def test_shapes_that_do_not_pair_are_refused():
    with pytest.raises(InputError, match="equally many axes"):
        Kronecker((3,), (3,))
    with pytest.raises(InputError, match="reshape"):
        convert(Dense(6, 6), Kronecker, 0.1)
    found, error = convert(Dense(6, 6, dtype=torch.float64), Kronecker, 1e-10, shape=((2, 3), (3, 2)))
    assert found.shape == ((2, 3), (3, 2)) and error < 1e-12


def test_places_are_checked():
    line = torch.arange(4)
    with pytest.raises(InputError, match="independent"):
        SparseLowRank(3, 4, 1, torch.zeros(4, dtype=torch.long), line)
    with pytest.raises(InputError, match="twice"):
        SparseLowRank(3, 4, 0, torch.tensor([1, 1]), torch.tensor([2, 2]))
    with pytest.raises(InputError, match="from 0"):
        SparseLowRank(3, 4, 0, line, line)
    with pytest.raises(InputError, match="integers"):
        SparseLowRank(3, 4, 0, line.double(), line)


@pytest.mark.parametrize("kind", [LowRank, Kronecker])
def test_a_budget_below_the_smallest_member_is_refused(kind):
    with pytest.raises(InputError, match="budget"):
        convert(Dense((4, 4), (4, 4)), kind, budget=3)

"""Tucker, CP and tensor-train maps against einsum; decompositions against what they were made of and against peers."""

from math import prod

import numpy as np
import pytest
import torch

from nwidth.core.errors import InputError, WorkError
from nwidth.linmaps import Dense, Goal, compress, convert, relative_error, to_dense
from nwidth.linmaps.cp import CP
from nwidth.linmaps.decompositions import cp, khatri_rao, tensor_of, tensor_train, tucker, within_budget
from nwidth.linmaps.tensor_train import TensorTrain
from nwidth.linmaps.tucker import Tucker
from nwidth.testing.linmaps import LinearMapConformance

DOUBLE = {"dtype": torch.float64}


class TensorConformance(LinearMapConformance):
    @property
    def gauge(self):
        return self.make().gauge


class TestTucker(TensorConformance):
    def make(self):
        return Tucker((3, 2), (4, 2, 2), ((2, 1), (2, 2, 1)), **DOUBLE)

    def oracle(self, linear_map):
        u, v = ([f.detach().numpy() for f in fs] for fs in (linear_map.outward, linear_map.inward))
        core = linear_map.core.detach().numpy().reshape(2, 1, 2, 2, 1)
        return np.einsum("abxyz,ia,jb,kx,ly,mz->ijklm", core, *u, *v).reshape(6, 16)


class TestCP(TensorConformance):
    def make(self):
        return CP((3, 2), (4, 2), 3, **DOUBLE)

    def oracle(self, linear_map):
        u, v = ([f.detach().numpy() for f in fs] for fs in (linear_map.outward, linear_map.inward))
        return np.einsum("ir,jr,kr,lr->ijkl", *u, *v).reshape(6, 8)


class TestTensorTrain(TensorConformance):
    def make(self):
        return TensorTrain((3, 2, 2), (2, 3, 1), (2, 2), **DOUBLE)

    def oracle(self, linear_map):
        cars = [c.detach().numpy() for c in linear_map.cars]
        return np.einsum("aimb,bjnc,ckod->ijkmno", *cars).reshape(12, 6)


def test_what_has_low_rank_is_found_exactly():
    torch.manual_seed(0)
    for made, kind in (
        (Tucker((5, 4), (4, 6), ((2, 3), (2, 2)), **DOUBLE), Tucker),
        (TensorTrain((3, 4, 2), (4, 2, 3), (3, 2), **DOUBLE), TensorTrain),
        (CP((5, 4), (4, 6), 3, **DOUBLE), CP),
    ):
        tol = 1e-5 if kind is CP else 1e-10
        found, error = convert(made, kind, tol)
        assert error <= tol
        assert sum(p.numel() for p in found.parameters()) == sum(p.numel() for p in made.parameters())
        assert relative_error(found, made) == error


@pytest.mark.parametrize("kind", [Tucker, TensorTrain, CP])
def test_tolerances_and_budgets_are_kept(kind):
    torch.manual_seed(1)
    source = smooth_map()
    sizes = []
    for tol in (0.3, 0.03, 0.003):
        found, error = convert(source, kind, tol)
        assert error <= tol
        sizes.append(sum(p.numel() for p in found.parameters()))
    assert sizes == sorted(sizes)
    errors = []
    for budget in (60, 120, 240):
        found, error = convert(source, kind, budget=budget)
        assert sum(p.numel() for p in found.parameters()) <= budget
        direct = torch.linalg.vector_norm(to_dense(found) - to_dense(source)) / torch.linalg.vector_norm(
            to_dense(source)
        )
        assert float(direct) == pytest.approx(error, rel=1e-6)
        errors.append(error)
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(InputError, match="the budget is 3"):
        kind.approximate(source, Goal(budget=3))


def smooth_map():
    """A kernel 1 / (1 + |x - y|²) on a 5 x 4 grid: fast decay of singular values in every mode."""
    x, y = torch.meshgrid(torch.linspace(0, 1, 5), torch.linspace(0, 1, 4), indexing="ij")
    points = torch.stack([x, y], dim=-1).reshape(-1, 2).double()
    source = Dense((5, 4), (5, 4), **DOUBLE)
    source.real.data.copy_(1 / (1 + 4 * torch.cdist(points, points).square()))
    return source


def test_an_impossible_tolerance_says_what_was_achieved():
    torch.manual_seed(2)
    with pytest.raises(WorkError, match="CP reaches a relative error"):
        convert(Dense((2, 3), (3, 2), **DOUBLE), CP, 0.0)


def test_compress_tries_tensors():
    made = Tucker((5, 4), (4, 6), ((2, 2), (2, 2)), **DOUBLE)
    found, error = compress(made.to(torch.float64), budget=100, kinds=["tucker", "tensor-train", CP])
    assert error < 1e-10
    assert isinstance(found, Tucker)


def test_singular_values_say_what_is_dropped():
    """The error of a truncated Tucker form is at most, and of a train exactly within, the energy that was allowed."""
    torch.manual_seed(3)
    tensor = torch.randn(6, 5, 4, 3, dtype=torch.float64)
    norm = torch.linalg.vector_norm(tensor)
    for tol in (0.7, 0.4, 0.1, 0.0):
        form = tucker(tensor, tol)
        error = torch.linalg.vector_norm(tensor_of(form) - tensor) / norm
        assert error <= tol + 1e-13
        # the core carries what is not lost
        assert float(torch.linalg.vector_norm(form.core) ** 2 + (error * norm) ** 2) == pytest.approx(float(norm**2))
        cars = tensor_train(tensor, tol)
        found = torch.einsum("aib,bjc,ckd,dle->ijkl", *cars)
        assert torch.linalg.vector_norm(found - tensor) <= tol * norm + 1e-12
    ranks = tuple(f.shape[1] for f in tucker(tensor, 0.7).factors)
    plain, swept = (tensor_of(tucker(tensor, 0.0, ranks=ranks, sweeps=s)) for s in (0, 3))
    assert torch.linalg.vector_norm(swept - tensor) <= torch.linalg.vector_norm(plain - tensor)


def test_a_budget_takes_the_smallest_tolerance():
    torch.manual_seed(4)
    tensor = torch.randn(6, 5, 4, dtype=torch.float64)
    best = within_budget(lambda tol: tucker(tensor, tol, sweeps=0), lambda f: f.size, 80)
    assert best.size <= 80
    assert all(tucker(tensor, t, sweeps=0).size > 80 or t > 0.5 for t in np.linspace(0.01, 0.5, 30))


def test_alternating_least_squares_against_tensorly():
    """Equal rank, random tensor: as good a local minimum as the peer's best of three (within 3 %)."""
    decomposition = pytest.importorskip("tensorly.decomposition")
    tensorly = pytest.importorskip("tensorly")
    torch.manual_seed(5)
    tensor = torch.randn(5, 6, 4, dtype=torch.float64)

    def error(factors):
        return float(torch.linalg.vector_norm(tensor - (khatri_rao(factors).sum(1)).reshape(tensor.shape)))

    ours = min(error(cp(tensor, 4, seed=s)) for s in range(3))
    theirs = []
    for seed in range(3):
        _, factors = decomposition.parafac(tensorly.tensor(tensor.numpy()), 4, init="random", random_state=seed)
        theirs.append(error([torch.from_numpy(np.asarray(f)) for f in factors]))
    assert ours <= 1.03 * min(theirs)


def test_shapes_that_do_not_apply_are_refused():
    with pytest.raises(InputError, match="as many output as input axes"):
        TensorTrain((2, 2), (4,), (2,))
    with pytest.raises(InputError, match="expected 1 of them"):
        TensorTrain((2, 2), (2, 2), (5,))
    with pytest.raises(InputError, match="ranks"):
        Tucker((2, 2), (2, 2), ((3, 1), (1, 1)))
    with pytest.raises(InputError, match="rank 0"):
        CP((2, 2), (2, 2), 0)
    with pytest.raises(InputError, match="use LowRank"):
        convert(Dense(4, 4), Tucker, 0.1)
    with pytest.raises(InputError, match="complex"):
        convert(Dense((2, 2), (2, 2), complex_entries=True), CP, 0.1)
    found, error = convert(Dense(4, 6, **DOUBLE), TensorTrain, 0.0, shape=((2, 2), (3, 2)))
    assert error < 1e-12
    assert prod(found.shape[0]) == 4

"""A trained FNO in low-rank form: the same function at full rank, errors that are what they say."""

import numpy as np
import pytest
import torch
from tests.operators.conftest import averaged_runs, poisson_runs

import nwidth as nw
from nwidth.core.errors import InputError, WorkError
from nwidth.linmaps import TruncatedFourier, relative_error
from nwidth.linmaps.tensor_fourier import TensorFourier
from nwidth.linmaps.weight_approximation import approximate_weights, weight_error
from nwidth.operators import tensorise
from nwidth.problems.poisson import Poisson


@pytest.fixture(scope="module")
def trained():
    fitter = nw.operators.FNO(modes=4, width=6, layers=2, training=nw.operators.Training(epochs=3))
    return fitter.fit(averaged_runs(12, 32), seed=0)


def answers(surrogate):
    return surrogate.predict(averaged_runs(12, 8, seed=1).mu).values


@pytest.mark.parametrize("factorization", ["tucker", "tt"])
def test_a_tolerance_of_nearly_nothing_is_the_same_function(trained, factorization):
    low, error = tensorise(trained, factorization, tol=1e-6)
    assert error <= 1e-6
    np.testing.assert_allclose(answers(low), answers(trained), rtol=1e-5, atol=1e-5)
    assert low.architecture.factorization == factorization


@pytest.mark.parametrize("factorization", ["tucker", "tt", "cp"])
def test_a_budget_is_kept_and_the_file_answers_alike(trained, factorization, tmp_path):
    dense = sum(p.numel() for n, p in trained.module.named_parameters() if "spectral" in n)
    errors = []
    for budget in (dense // 20, dense // 4):
        low, error = tensorise(trained, factorization, budget=budget)
        assert sum(p.numel() for p in low.module.network.weights.parameters()) <= budget
        errors.append(error)
    assert 1 > errors[0] > errors[1] > 0
    nw.save(low, tmp_path / "low.nwidth")
    np.testing.assert_array_equal(answers(nw.load(tmp_path / "low.nwidth")), answers(low))
    assert low.at(averaged_runs(17, 2).space).space.shape == (18, 18)


def test_a_missed_tolerance_says_what_was_achieved(trained):
    with pytest.raises(WorkError, match="1e-06 was asked for"):
        tensorise(trained, "tucker", tol=1e-6, budget=400)


def test_boundary_values_that_depend_on_the_parameters_are_kept():
    problem = Poisson(12)
    fitter = nw.operators.FNO(modes=3, width=4, layers=1, training=nw.operators.Training(epochs=1))
    runs = poisson_runs(problem, 16)
    given = fitter.fit(runs, problem, seed=0)
    low, _ = tensorise(given, tol=1e-6)
    np.testing.assert_allclose(low.predict(runs.mu).values, given.predict(runs.mu).values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("modes", [(4,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("factorization", ["tucker", "tt", "cp"])
def test_the_error_is_that_of_the_linear_map(modes, factorization):
    """Measured on a periodic grid that carries all frequencies, where the Frobenius norms agree."""
    torch.manual_seed(0)
    dense = TruncatedFourier((3, 2), modes, tuple(2 * m for m in modes), dtype=torch.float64)
    size = dense.real.numel() + dense.imag.numel()
    (weights,), error = approximate_weights([dense], factorization, budget=size // 2)
    low = TensorFourier(weights, dense.grid)
    assert error == pytest.approx(weight_error(weights, dense), rel=1e-12)
    assert relative_error(low, dense) == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("modes", [(4,), (3, 3), (2, 2, 2)])
def test_a_train_of_full_rank_is_exact(modes):
    """In particular what the array of frequencies holds twice is consistent."""
    torch.manual_seed(0)
    dense = [TruncatedFourier((2, 2), modes, tuple(2 * m for m in modes), dtype=torch.float64) for _ in range(2)]
    assert approximate_weights(dense, "tt", tol=1e-12)[1] < 1e-12
    for factorization in ("tucker", "tt", "cp"):
        assert approximate_weights(dense, factorization, tol=0.5)[1] <= 0.5


def test_smooth_weights_are_small():
    """A weight that varies slowly over frequencies and mixes few channels: found with few parameters."""
    torch.manual_seed(0)
    dense = TruncatedFourier((8, 8), (6, 6), (12, 12), dtype=torch.float64)
    torch.manual_seed(1)
    left, right = torch.randn(8, 2, dtype=torch.float64), torch.randn(2, 8, dtype=torch.float64)
    with torch.no_grad():
        dense.real.copy_(left @ right / torch.arange(1, len(dense.real) + 1)[:, None, None])
        dense.imag.zero_()
    (weights,), error = approximate_weights([dense], "tucker", tol=1e-10)
    assert error <= 1e-10
    assert sum(p.numel() for p in weights.parameters()) == 121 * 4 + 2 * 16


def test_what_cannot_be_tensorised_is_refused(trained):
    with pytest.raises(InputError, match="a tolerance or a budget"):
        tensorise(trained)
    with pytest.raises(InputError, match="factorization"):
        tensorise(trained, "svd", tol=0.1)
    with pytest.raises(InputError, match="the budget is"):
        tensorise(trained, budget=10)
    with pytest.raises(InputError, match="UNet"):
        net = nw.operators.UNet(width=4, levels=2, training=nw.operators.Training(epochs=1))
        tensorise(net.fit(averaged_runs(12, 8), seed=0), tol=0.1)

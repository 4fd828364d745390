"""Kernel regression: the closed leave-one-out form against refitting, its gradient, and what it learns."""

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.rb.features import fit_features
from nwidth.rb.kernel import FORMS, SHAPES, KernelRegression, Training, fit_kernel


def data(n=25, features=3, seed=0):
    X = np.random.default_rng(seed).uniform(-1.7, 1.7, (n, features))
    Y = np.stack([np.sin(X[:, 0]) + 0.2 * X[:, 1], np.exp(-(X[:, 1] ** 2)) * X[:, 0]], axis=1)
    return X, Y - Y.mean(axis=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", FORMS)
def test_leave_one_out_equals_refitting_without_each_row(shape, form):
    X, Y = data()
    theta = np.log([1.3, 0.9, 2.0, 0.5, 0.1, 0.2, 1e-2])
    value, _ = Training.of(X, Y, np.arange(3)).leave_one_out(theta, shape, form)
    errors = []
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        lengths, slopes = np.exp(theta[:3]), np.exp(theta[3:6])
        model = KernelRegression(
            shape, form, X[rest], np.zeros((24, 0)), np.zeros(2), lengths, slopes, 1e-2, np.zeros(24)
        )
        weights = np.linalg.solve(model._kernel(X[rest]) + 1e-2 * np.eye(24), Y[rest])
        errors.append(Y[i] - model._kernel(X[i : i + 1])[0] @ weights)
    assert value == pytest.approx(np.sum(np.square(errors)) / np.sum(Y**2), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_is_the_derivative(shape, form):
    X, Y = data()
    training, start = Training.of(X, Y, np.array([0, 0, 1])), np.log([1.0, 2.0, 1.0, 1.0, 1e-4])
    theta = np.log([1.2, 0.8, 0.5, 0.2, 1e-2])
    _, gradient = training.objective(theta, shape, form, start)
    for k in range(len(theta)):
        step = 1e-5 * np.eye(len(theta))[k]
        ahead, behind = (training.objective(theta + s, shape, form, start)[0] for s in (step, -step))
        assert gradient[k] == pytest.approx((ahead - behind) / 2e-5, rel=1e-6, abs=1e-8)


def test_the_errors_that_are_reported_are_those_of_the_final_weights():
    X, Y = data(n=20)
    model = fit_kernel(X, Y)
    kernel = model._kernel(X) + model.noise * np.eye(20)
    rest = np.arange(20) != 7
    without = model._kernel(X)[7, rest] @ np.linalg.solve(kernel[np.ix_(rest, rest)], (Y - model.mean)[rest])
    assert model.loo[7] == pytest.approx(np.linalg.norm((Y - model.mean)[7] - without), rel=1e-6)


def test_a_smooth_function_is_learned_at_a_fast_rate():
    """Errors on fresh points; a kernel of finite smoothness in two dimensions: at least second order in 1/√n."""
    fresh, truth = data(n=400, features=2, seed=9)
    errors = []
    for n in (16, 64, 256):
        X, _ = data(n=n, features=2, seed=1)
        truth = np.sin(fresh[:, :1]) + np.exp(-(fresh[:, 1:] ** 2)) * fresh[:, :1]
        model = fit_kernel(X, np.sin(X[:, :1]) + np.exp(-(X[:, 1:] ** 2)) * X[:, :1])
        errors.append(np.sqrt(np.mean((model.predict(fresh) - truth) ** 2)))
    assert errors[0] < 0.3 and errors[2] < 1e-4
    assert np.log(errors[0] / errors[2]) / np.log(4) > 2


def test_a_parameter_without_influence_gets_a_long_length_and_a_linear_one_is_exact():
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 1, (60, 3))
    model = fit_kernel(X, np.sin(3 * X[:, :1]))
    assert model.lengths[1:].min() > 5 * model.lengths[0]
    linear = fit_kernel(X, X @ np.array([[1.0], [2.0], [-1.0]]))
    fresh = rng.uniform(-1, 1, (50, 3))
    np.testing.assert_allclose(linear.predict(fresh), fresh @ np.array([[1.0], [2.0], [-1.0]]), atol=1e-3)


def test_doubled_rows_do_not_break_it():
    X, Y = data(n=20)
    twice = fit_kernel(np.concatenate([X, X]), np.concatenate([Y, Y]))
    assert np.isfinite(twice.predict(X)).all()


def test_noise_is_smoothed_and_not_interpolated():
    rng = np.random.default_rng(1)
    X, fresh = rng.uniform(-1, 1, (80, 2)), rng.uniform(-1, 1, (200, 2))
    model = fit_kernel(X, np.sin(2 * X[:, :1]) + 0.3 * rng.standard_normal((80, 1)))
    error = np.sqrt(np.mean((model.predict(fresh) - np.sin(2 * fresh[:, :1])) ** 2))
    assert error < 0.15, "the nearest noisy value would be off by 0.3"


def test_more_rows_than_the_hyperparameters_see():
    X, Y = data(n=600, features=2)
    model = fit_kernel(X, Y, shapes=("gauss",), forms=("sum",))
    assert len(model.weights) == 600
    fresh, _ = data(n=50, features=2, seed=5)
    raw = np.stack([np.sin(fresh[:, 0]) + 0.2 * fresh[:, 1], np.exp(-(fresh[:, 1] ** 2)) * fresh[:, 0]], axis=1)
    raw0 = np.stack([np.sin(X[:, 0]) + 0.2 * X[:, 1], np.exp(-(X[:, 1] ** 2)) * X[:, 0]], axis=1).mean(axis=0)
    np.testing.assert_allclose(model.predict(fresh), raw - raw0, atol=1e-4)


def test_blocks_of_queries_are_answered_alike_and_files_bring_it_back(tmp_path, monkeypatch):
    X, Y = data()
    model = fit_kernel(X, Y)
    queries = np.random.default_rng(2).uniform(-1, 1, (30, 3))
    whole = model.predict(queries)
    monkeypatch.setattr("nwidth.rb.kernel._BLOCK", 100)
    np.testing.assert_allclose(model.predict(queries), whole, rtol=1e-13)
    again = load(save(model, tmp_path / "k.nwidth"))
    assert fingerprint(again) == fingerprint(model)
    assert model.predict(np.empty((0, 3))).shape == (0, 2)


def test_too_few_and_too_many_rows_are_refused():
    with pytest.raises(InputError, match="got 2 runs"):
        fit_kernel(np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(InputError, match="10,000"):
        fit_kernel(np.ones((10_001, 1)), np.ones((10_001, 1)))


def test_features_standardise_scalars_and_reduce_fields():
    rng = np.random.default_rng(0)
    mu = {
        "k": rng.uniform(1, 100, 50),
        "load": rng.uniform(-1, 1, 50),
        "a": rng.standard_normal((50, 3)) @ rng.standard_normal((3, 64)),
    }
    mu["a"] = mu["a"].reshape(50, 8, 8)
    plain, logs = fit_features(mu), fit_features(mu, logarithms=True)
    assert plain.fields["a"][1].shape == (3, 64)
    X = logs(mu)
    np.testing.assert_allclose(X[:, :2].std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(np.sum(X[:, 2:].var(axis=0)), 1, rtol=1e-3)
    assert list(logs.log) == [True, False] and not plain.log.any()
    assert np.corrcoef(X[:, 0], np.log(mu["k"]))[0, 1] == pytest.approx(1)
    np.testing.assert_array_equal(logs.groups, [0, 1, 2, 3, 3])
    assert np.isnan(logs({**mu, "k": -mu["k"]})[:, 0]).all()

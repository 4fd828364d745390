"""The regressors against dense formulas, refits, SciPy and closed forms; files; and what they say of their errors."""

import sys

import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal

import nwidth as nw
from nwidth.certificates.conformal import calibrate
from nwidth.core.errors import InputError
from nwidth.core.storable import fingerprint
from nwidth.io.model import load, save
from nwidth.rb.kernel import Training
from nwidth.rb.pod_regression import PODRegression
from nwidth.rb.regressors import network
from nwidth.rb.regressors.choose import REGRESSORS, fit_named
from nwidth.rb.regressors.gaussian_process import fit_gaussian_process, negative_log_likelihood
from nwidth.rb.regressors.network import _refitted, answers, fit_network
from nwidth.rb.regressors.rbf import _KERNELS, RBFRegression, fit_rbf, residuals
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points

NAMES = [pytest.param(n, marks=pytest.mark.skipif(n == "network" and not nw.core.kinds.available("torch"), reason="x"))
         for n in REGRESSORS]  # fmt: skip


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    """Enough for what is asked here, and five times faster."""
    monkeypatch.setattr(network, "_STEPS", 300)


def data(n=40, features=2, seed=0):
    X = np.random.default_rng(seed).uniform(-1.7, 1.7, (n, features))
    Y = np.stack([np.sin(X[:, 0]) + 0.2 * X[:, 1], 0.3 * np.exp(-(X[:, 1] ** 2)) * X[:, 0]], axis=1)
    return X, Y - Y.mean(axis=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_smooth_function_is_learned_and_more_rows_help(name, monkeypatch):
    monkeypatch.setattr(network, "_STEPS", 1000)
    fresh = np.random.default_rng(9).uniform(-1.5, 1.5, (300, 2))
    errors = []
    for n in (20, 120):
        X, Y = data(n)
        raw = np.stack([np.sin(fresh[:, 0]) + 0.2 * fresh[:, 1], 0.3 * np.exp(-(fresh[:, 1] ** 2)) * fresh[:, 0]], 1)
        shift = np.stack([np.sin(X[:, 0]) + 0.2 * X[:, 1], 0.3 * np.exp(-(X[:, 1] ** 2)) * X[:, 0]], 1).mean(0)
        model = REGRESSORS[name](X, Y)
        errors.append(np.sqrt(np.mean((model.predict(fresh) - raw + shift) ** 2)) / Y.std())
        assert model.loo.shape == (n,)
    assert errors[1] < (0.02 if name == "network" else 2e-3) and errors[1] < errors[0] / 4


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_unseen_rows_is_near_what_fresh_rows_show(name):
    X, Y = data(120)
    model = REGRESSORS[name](X[:80], Y[:80])
    true = np.linalg.norm(model.predict(X[80:]) - Y[80:], axis=1)
    assert 1 / 8 < np.median(model.loo) / np.median(true) < 8


@pytest.mark.parametrize("name", NAMES)
def test_columns_can_be_dropped_and_a_file_brings_it_back(name, tmp_path):
    X, Y = data(30)
    model = REGRESSORS[name](X, Y)
    np.testing.assert_allclose(model.take([1]).predict(X[:4]), model.predict(X[:4])[:, [1]], rtol=1e-8)
    save(model, tmp_path / "m.nwidth")
    again = load(tmp_path / "m.nwidth")
    assert fingerprint(again) == fingerprint(model)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert fingerprint(REGRESSORS[name](X, Y)) == fingerprint(model), "the same data gave another fit"


@pytest.mark.parametrize("kernel", _KERNELS)
def test_rippas_formula_equals_refitting_with_scipy(kernel):
    X, Y = data(25)
    for degree in _KERNELS[kernel]:
        scales = np.array([1.0, 0.6])
        model = RBFRegression(kernel, degree, 0.7, 1e-3, X, Y, scales, np.zeros(25))
        errors = residuals(model, X, Y)
        for i in (0, 7, 24):
            rest = np.arange(25) != i
            other = RBFInterpolator(
                X[rest] * scales, Y[rest], kernel=kernel, degree=degree, epsilon=0.7, smoothing=1e-3
            )  # fmt: skip
            np.testing.assert_allclose(errors[i], Y[i] - other(X[i : i + 1] * scales)[0], rtol=1e-6, atol=1e-9)


def test_each_parameter_of_radial_functions_has_its_scale():
    X = np.random.default_rng(0).uniform(-1.7, 1.7, (60, 2))
    model = fit_rbf(X, np.sin(4 * X[:, :1]))
    assert model.scales[0] > 3 * model.scales[1]
    assert np.isnan(model.predict(np.array([[np.nan, 0.0]]))).all()


@pytest.mark.parametrize("shape", ["matern", "gauss"])
@pytest.mark.parametrize("form", ["sum", "product"])
def test_the_likelihood_is_that_of_the_normal_law_and_its_gradient_is_exact(shape, form):
    X, Y = data(15)
    training = Training.of(X, Y, np.arange(2))
    theta = np.log([1.3, 0.9, 0.5, 0.2, 1e-2])
    K = training.matrix(theta, form, training.parts(theta, shape))
    variance = [y @ np.linalg.solve(K, y) / 15 for y in Y.T]
    logs = [multivariate_normal(np.zeros(15), s * K).logpdf(y) for s, y in zip(variance, Y.T, strict=True)]
    pull = (theta - training.start()) / [1, 1, 1, 1, 3]
    value, _ = negative_log_likelihood(theta, training, shape, form)
    constant = 0.5 * (1 + np.log(2 * np.pi))
    assert value == pytest.approx(-np.mean(logs) / 15 - constant + 0.5 * pull @ pull / 15, rel=1e-9)
    args = (training, shape, form)
    wrong = check_grad(
        lambda t: negative_log_likelihood(t, *args)[0], lambda t: negative_log_likelihood(t, *args)[1], theta
    )
    assert wrong < 1e-5


def test_mean_and_deviation_are_those_of_the_conditional_normal_law():
    X, Y = data(20)
    Y = 3.0 + Y + 0.05 * np.random.default_rng(0).standard_normal(Y.shape)
    model = fit_gaussian_process(X, Y)
    x = np.array([[0.3, -0.4], [3.0, 3.0]])
    for m in range(2):
        one = model.take([m])
        kernel = one._kernel(int(one.part[0]))
        noise, s2 = one.noise[one.part[0]], one.variance[0]
        inverse = np.linalg.inv(kernel(X) + noise * np.eye(20))
        k = kernel(x)
        np.testing.assert_allclose(one.predict(x)[:, 0], model.mean[m] + k @ inverse @ (Y[:, m] - model.mean[m]))
        prior = np.array([type(kernel)(kernel.shape, kernel.form, p[None], kernel.lengths, kernel.slopes)(p[None])[0, 0]
                          for p in x])  # fmt: skip
        left = s2 * (prior + noise - np.einsum("bi,ij,bj->b", k, inverse, k))
        np.testing.assert_allclose(one.deviation(x), np.sqrt(left), rtol=1e-5)
    both = np.sqrt(model.take([0]).deviation(x) ** 2 + model.take([1]).deviation(x) ** 2)
    np.testing.assert_allclose(model.deviation(x), both, rtol=1e-12)
    assert model.deviation(x)[1] > 3 * model.deviation(X).max(), "far away it knows nothing"


def test_the_deviation_of_a_process_is_of_the_size_of_its_errors():
    X, Y = data(200)
    model = fit_gaussian_process(X[:40], Y[:40] + 0.02 * np.random.default_rng(0).standard_normal((40, 2)))
    z = np.linalg.norm(model.predict(X[40:]) - Y[40:], axis=1) / model.deviation(X[40:])
    assert 0.1 < np.sqrt(np.mean(z**2)) < 2


def test_members_of_a_network_do_not_see_their_own_rows():
    pytest.importorskip("torch")
    X, Y = data(24)
    spoiled = Y.copy()
    spoiled[3] += 100.0
    plain, other = (fit_network(X, y, seed=1) for y in (Y, spoiled))
    assert other.loo[3] > 50, "the member that judges run 3 has learned it"
    gaps = [np.abs(answers(m.layers, X[3:4]) * m.scale - Y[3]).max(axis=(1, 2)) for m in (plain, other)]
    assert (gaps[1] < 20).any()


def test_the_best_is_the_one_with_the_smallest_error_on_unseen_rows():
    mu = Box(("k", "h"), low=0.5, high=5.0).sample(range(30), 0)
    Y = np.stack([1 / mu["k"], mu["h"] / mu["k"]], axis=1)
    Y = Y - Y.mean(axis=0)
    _, best = fit_named("best", mu, Y, 0)
    errors = {name: np.sum(fit_named(name, mu, Y, 0)[1].loo ** 2) for name in ("kernel", "rbf", "gaussian-process")}
    assert np.sum(best.loo**2) == min(errors.values())
    assert fit_named("kernel", mu, Y, 0)[0].log.any(), "1 / k is learned from the logarithm"


def test_too_few_rows_and_a_missing_torch_are_refused(monkeypatch):
    X, Y = data(2)
    for name, fit in REGRESSORS.items():
        with pytest.raises(InputError, match=r"got 2 runs"):
            fit(X, Y)
        assert name
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "nwidth.rb.regressors._network_training", raising=False)
    with pytest.raises(InputError, match=r"pip install 'nwidth\[neural\]'"):
        fit_network(*data(20))


BOX = Box(("k", "s"), low=(1.0, 0.0), high=(8.0, 1.0))


def runs(n, seed=0, dtype=float):
    """A bump that is hard where k is large."""
    mu, x = BOX.sample(range(n), seed=seed), np.linspace(0, 1, 60)
    fields = 1 / (1 + mu["k"][:, None] ** 2 * 4 * (x - mu["s"][:, None]) ** 2)
    fields = fields * np.exp(1j * x) if dtype is complex else fields
    space = Points((60,), x[:, None], type="complex128" if dtype is complex else "float64")
    return Snapshots(BOX, space, mu, fields, outputs={"mean": np.abs(fields).mean(axis=1)})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [float, complex])
def test_every_regressor_serves_fields_and_outputs_and_its_file_answers_the_same(name, dtype, tmp_path):
    surrogate = PODRegression(regressor=name, modes=6).fit(runs(60, dtype=dtype))
    fresh = runs(40, seed=5, dtype=dtype)
    answer = surrogate.predict(fresh.mu)
    error = np.linalg.norm(answer.field - fresh.fields, axis=1) / np.linalg.norm(fresh.fields, axis=1)
    assert np.median(error) < 0.15
    assert np.median(np.abs(answer.outputs["mean"].values - fresh.outputs["mean"])) < 0.02
    save(surrogate, tmp_path / "m.nwidth")
    again = load(tmp_path / "m.nwidth").predict(fresh.mu)
    np.testing.assert_array_equal(again.field, answer.field)


def test_the_deviation_of_a_process_shapes_the_limit_and_the_limit_holds(tmp_path):
    surrogate = PODRegression(regressor="gaussian-process").fit(runs(40))
    certificate = calibrate(surrogate, runs(150, seed=1), level=0.9, norm="rms")
    fresh = runs(400, seed=2)
    certified = nw.Certified(surrogate, certificate)
    answer = certified.predict(fresh.mu)
    error = np.linalg.norm(answer.field - fresh.fields, axis=1) / np.sqrt(60)
    assert 0.82 < np.mean(error <= answer.bound) < 0.98
    assert np.corrcoef(np.log(answer.bound), np.log(error))[0, 1] > 0.3
    own = surrogate.deviation(fresh.mu) / np.sqrt(60)
    assert 0.1 < np.median(own / error) < 10, "in the units of the field"
    save(certified, tmp_path / "m.nwidth")
    np.testing.assert_array_equal(load(tmp_path / "m.nwidth").predict(fresh.mu).bound, answer.bound)
    assert PODRegression(regressor="kernel").fit(runs(40)).deviation is None


def test_a_scale_by_deviation_alone_is_available_to_the_calibration():
    surrogate = PODRegression(regressor="gaussian-process").fit(runs(40))
    certificate = calibrate(surrogate, runs(150, seed=1), level=0.9, norm="rms")
    mu = runs(5, seed=3).mu
    columns = certificate.surroundings.columns(surrogate.predict(mu), {"field": ("deviation",)})
    np.testing.assert_allclose(columns["field"]["deviation"][:, 0], np.log(surrogate.deviation(mu)))


def test_the_last_layer_is_solved_for_where_that_foretells_better():
    X, Y = data(60)
    held = np.arange(60) % 3 == np.arange(3)[:, None]
    rng = np.random.default_rng(0)
    layers = {"straight": np.zeros((3, 2, 2)), "w1": rng.standard_normal((3, 2, 20)),
              "b1": rng.standard_normal((3, 1, 20)),
              "w2": rng.standard_normal((3, 20, 20)) / 4, "b2": np.zeros((3, 1, 20)), "w3": np.zeros((3, 20, 2)),
              "b3": np.zeros((3, 1, 2))}  # fmt: skip
    better = _refitted(layers, X, Y, held)
    errors = [np.linalg.norm((answers(m, X) - Y)[held]) for m in (layers, better)]
    assert errors[1] < 0.3 * errors[0]
    np.testing.assert_array_equal(better["w1"], layers["w1"])
    again = _refitted(better, X, Y, held)
    assert np.linalg.norm((answers(again, X) - Y)[held]) <= errors[1]

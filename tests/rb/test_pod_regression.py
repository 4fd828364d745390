"""POD + regression against closed forms, with scalars, fields, outputs, complex values and a user's own regressor."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.core.prediction import Reduced
from nwidth.core.solution import Status
from nwidth.core.storable import Parts, Storable, fingerprint
from nwidth.io.model import load, save
from nwidth.rb import pod_regression
from nwidth.rb.pod_regression import PODRegression
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points

X = np.linspace(0, 1, 41)
BOX = Box(("k", "h"), low=(0.5, 1.0), high=(2.0, 50.0))


def exact(mu, dtype=float):
    """-k u'' = h with u(0) = 0 and k u'(1) = -h u(1): rational in h and k."""
    k, h = mu["k"][:, None], mu["h"][:, None]
    slope = (1 + h / (2 * k)) / (1 + h / k)
    u = (h / k) * (slope * X - X**2 / 2)
    return u * np.exp(1j * k * X) if dtype is complex else u


def runs(n, seed=0, dtype=float, **more):
    mu = BOX.sample(range(n), seed=seed)
    u = exact(mu, dtype)
    space = Points((41,), X[:, None], type="complex128" if dtype is complex else "float64")
    return Snapshots(BOX, space, mu, u, outputs={"peak": np.abs(u).max(1)}, provenance={"units": {"peak": "K"}}, **more)


def relative(prediction, truth):
    return np.linalg.norm(prediction - truth, axis=1) / np.linalg.norm(truth, axis=1)


@pytest.mark.parametrize("dtype", [float, complex])
def test_the_closed_form_is_learned(dtype):
    fresh = BOX.sample(range(200), seed=7)
    errors = {}
    for n in (20, 80):
        answer = PODRegression(tol=1e-6).fit(runs(n, dtype=dtype)).predict(fresh)
        errors[n] = np.median(relative(answer.field, exact(fresh, dtype)))
        assert answer.field.dtype == np.dtype(dtype)
    assert errors[20] < 3e-2 and errors[80] < 2e-3 and errors[80] < errors[20] / 5
    peak = answer.outputs["peak"]
    assert peak.unit == "K" and np.isinf(peak.limit).all()
    truth = np.abs(exact(fresh, dtype)).max(1)
    assert np.sqrt(np.mean((peak.values - truth) ** 2)) < 0.01 * truth.std()


def test_answers_are_reduced_and_uncertified_and_know_where_they_stand():
    surrogate = PODRegression(modes=3).fit(runs(30))
    answer = surrogate.predict({"k": np.array([1.0, 9.0, np.nan]), "h": np.array([2.0, 2.0, 2.0])})
    assert isinstance(answer.values, Reduced) and answer.values.coefficients.shape == (3, 3)
    assert np.isinf(answer.bound).all()
    np.testing.assert_array_equal(answer.inside, [True, False, False])


def test_with_all_modes_the_error_is_the_regressions_and_with_few_it_is_the_projections():
    train, fresh = runs(80), BOX.sample(range(100), seed=5)
    few = PODRegression(modes=1).fit(train)
    best = few.basis.coefficients(exact(fresh)) @ few.basis.modes + few.basis.offset
    achieved = np.linalg.norm(few.predict(fresh).field - exact(fresh))
    assert np.linalg.norm(best - exact(fresh)) <= achieved <= 1.2 * np.linalg.norm(best - exact(fresh))


@pytest.mark.parametrize("dtype", [float, complex])
def test_modes_that_the_regression_cannot_foretell_are_dropped_and_cost_no_accuracy(dtype):
    data, fresh = runs(30, dtype=dtype), BOX.sample(range(100), seed=5)
    noise = 0.02 * np.random.default_rng(0).standard_normal(data.fields.shape)
    noisy = Snapshots(BOX, data.space, data.mu, data.fields + noise)
    pruned, full = PODRegression(tol=1e-9).fit(noisy), PODRegression(modes=29).fit(noisy)
    assert len(full.basis.modes) == 29 > len(pruned.basis.modes)
    errors = [np.median(relative(s.predict(fresh).field, exact(fresh, dtype))) for s in (pruned, full)]
    assert errors[0] < 1.05 * errors[1]


@pytest.mark.parametrize("inner", ["nodal", "mass"])
def test_the_inner_product_of_the_space_is_used(inner):
    rng = np.random.default_rng(0)
    points = np.sort(rng.random(30))[:, None]
    cells = np.stack([np.arange(29), np.arange(1, 30)], axis=1)
    space = Points((30,), points, cells=cells)
    mu = BOX.sample(range(25), seed=0)
    fields = np.sin(mu["k"][:, None] * points[:, 0]) * mu["h"][:, None]
    modes = PODRegression(modes=3, inner=inner).fit(Snapshots(BOX, space, mu, fields)).basis.modes
    weights = space.node_measures() if inner == "mass" else np.ones(30)
    np.testing.assert_allclose((modes * weights) @ modes.T, np.eye(3), atol=1e-12)


def test_a_field_parameter_enters_by_its_principal_components():
    """u = Gaussian smoothing of a: linear, so that the linear part of the kernel learns it."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, 33)
    smooth = np.exp(-((t[:, None] - t) ** 2) / 0.02) / 33
    basis = np.stack([np.cos(np.pi * k * t) / (1 + k) ** 2 for k in range(8)])
    a = rng.standard_normal((130, 8)) @ basis
    space = Points((33,), t[:, None])

    class Fields(Box):
        def contains(self, mu):
            return np.ones(len(mu["a"]), dtype=bool)

    train = Snapshots(Fields("a"), space, {"a": a[:100]}, a[:100] @ smooth)
    surrogate = PODRegression(tol=1e-5).fit(train)
    error = relative(surrogate.predict({"a": a[100:]}).field, a[100:] @ smooth)
    assert np.median(error) < 0.02


def test_a_regressor_of_ones_own_takes_the_kernels_place():
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    fresh = BOX.sample(range(50), seed=3)
    process = gaussian_process.GaussianProcessRegressor(alpha=1e-6)
    surrogate = PODRegression(tol=1e-5, regressor=process).fit(runs(60))
    assert np.median(relative(surrogate.predict(fresh).field, exact(fresh))) < 0.02
    assert not [name for name in vars(process) if name.endswith("_")], "the configuration's own object was fitted"
    with pytest.raises(InputError, match="GaussianProcessRegressor cannot be stored.*regressor='kernel'"):
        save(surrogate, "unused.nwidth")


@dataclass
class Linear(Storable):
    """A regressor of a user's own that can be stored."""

    kind: ClassVar[str] = "my-linear"
    matrix: np.ndarray | None = None

    def fit(self, X, Y):
        self.matrix = np.linalg.lstsq(np.c_[X, np.ones(len(X))], Y, rcond=None)[0]

    def predict(self, X):
        return np.c_[X, np.ones(len(X))] @ self.matrix

    def to_parts(self):
        return Parts({}, {"matrix": self.matrix}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(arrays["matrix"])


@pytest.mark.parametrize("regressor", ["kernel", Linear()])
def test_a_file_brings_it_back(regressor, tmp_path):
    surrogate = PODRegression(regressor=regressor).fit(runs(25))
    again = load(save(surrogate, tmp_path / "m.nwidth"), kinds=[Linear])
    assert fingerprint(again) == fingerprint(surrogate)
    fresh = BOX.sample(range(5), seed=1)
    np.testing.assert_array_equal(again.predict(fresh).field, surrogate.predict(fresh).field)
    np.testing.assert_array_equal(
        again.predict(fresh).outputs["peak"].values, surrogate.predict(fresh).outputs["peak"].values
    )


def test_a_regressor_that_returns_another_shape_is_named():
    class Wrong(Linear):
        def predict(self, X):
            return super().predict(X)[:, :1]

    surrogate = PODRegression(modes=3, regressor=Wrong()).fit(runs(20))
    with pytest.raises(InputError, match=r"Wrong\.predict returned 1 columns, expected 3"):
        surrogate.predict(BOX.sample(range(2), seed=0))


def test_outputs_alone_need_no_field():
    full = runs(40)
    bare = Snapshots(BOX, Points((0,)), full.mu, np.empty((40, 0)), outputs=full.outputs)
    surrogate = PODRegression().fit(bare)
    fresh = BOX.sample(range(50), seed=3)
    answer = surrogate.predict(fresh)
    assert answer.field.shape == (50, 0)
    np.testing.assert_allclose(answer.outputs["peak"].values, np.abs(exact(fresh)).max(1), rtol=0.1)


def test_failed_runs_are_left_out():
    data = runs(30)
    fields = data.fields.copy()
    fields[[3, 8]] = np.nan
    status = np.full(30, Status.CONVERGED)
    status[[3, 8]] = Status.FAILED
    marked = Snapshots(BOX, data.space, data.mu, fields, status=status, outputs=data.outputs)
    good = np.setdiff1d(np.arange(30), [3, 8])
    fresh = BOX.sample(range(5), seed=3)
    np.testing.assert_array_equal(
        PODRegression().fit(marked).predict(fresh).field, PODRegression().fit(data.take(good)).predict(fresh).field
    )
    with pytest.raises(InputError, match="fields: row 3 holds a value that is not finite"):
        PODRegression().fit(Snapshots(BOX, data.space, data.mu, fields))


@pytest.mark.parametrize("dtype", [float, complex])
def test_a_store_that_does_not_fit_into_memory_is_read_in_blocks(dtype, tmp_path, monkeypatch):
    data, fresh = runs(70, dtype=dtype), BOX.sample(range(20), seed=3)
    stored = data.save(tmp_path / "runs.zarr")
    held = PODRegression(tol=1e-6).fit(stored).predict(fresh).field
    monkeypatch.setattr(pod_regression, "_HELD", 0)
    surrogate = PODRegression(tol=1e-6).fit(stored)
    assert surrogate.basis.method == "streaming"
    np.testing.assert_allclose(surrogate.predict(fresh).field, held, atol=2e-3 * np.abs(held).max())


def test_bad_data_and_configurations_are_refused():
    data = runs(20)
    with pytest.raises(InputError, match="pass snapshots="):
        PODRegression().fit()
    with pytest.raises(InputError, match="only 4 of 4 runs"):
        PODRegression().fit(data.take(slice(0, 4)))
    with pytest.raises(InputError, match="are the same field"):
        PODRegression().fit(Snapshots(BOX, data.space, data.mu, np.ones((20, 41))))
    with pytest.raises(InputError, match="output 'peak' is 3 in every run"):
        PODRegression().fit(Snapshots(BOX, data.space, data.mu, data.fields, outputs={"peak": np.full(20, 3.0)}))
    with pytest.raises(InputError, match="neither a field nor an output"):
        PODRegression().fit(Snapshots(BOX, Points((0,)), data.mu, np.empty((20, 0))))
    for wrong, says in [({"modes": 0}, "modes is 0"), ({"tol": 2.0}, "tol is 2"), ({"regressor": "magic"}, "'magic'"),
                        ({"inner": "L2"}, "'L2'; choose one of nodal")]:  # fmt: skip
        with pytest.raises(InputError, match=says):
            PODRegression(**wrong)

"""The same limits as MAPIE's where both exist: split conformal, scaled or not, and leave-one-out residuals."""

import numpy as np
import pytest
from tests.certificates.conformal_cases import BOX, Quadratic, monomials, runs, without_fields

from nwidth.certificates.conformal import calibrate
from nwidth.certificates.cross_conformal import cross_calibrate
from nwidth.snapshots.base import Snapshots

regression = pytest.importorskip("mapie.regression")
base = pytest.importorskip("sklearn.base")


class LeastSquares(base.RegressorMixin, base.BaseEstimator):
    """The test family's own regression for MAPIE: X holds a and b."""

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        self.weights_ = np.linalg.lstsq(self._table(X), y, rcond=None)[0]
        return self

    def predict(self, X):
        return self._table(X) @ self.weights_

    def _table(self, X):
        return monomials({"a": X[:, 0], "b": X[:, 1]}, 2)


def only_peak(count, seed):
    data = without_fields(runs(count, seed))
    return Snapshots(BOX, data.space, data.mu, data.fields, outputs={"peak": data.outputs["peak"]})


def table(data):
    return np.stack([data.mu["a"], data.mu["b"]], axis=1), data.outputs["peak"]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("count", [19, 30, 44])
def test_split_conformal(level, count):
    train, held, fresh = only_peak(20, 1), only_peak(count, 2), only_peak(7, 3)
    surrogate = Quadratic().fit(train)
    limit = calibrate(surrogate, held, level).bound(surrogate.predict(fresh.mu)).outputs["peak"].limit
    peer = regression.SplitConformalRegressor(LeastSquares().fit(*table(train)), confidence_level=level, prefit=True)
    points, intervals = peer.conformalize(*table(held)).predict_interval(table(fresh)[0])
    np.testing.assert_allclose(points, surrogate.predict(fresh.mu).outputs["peak"].values, rtol=1e-9)
    np.testing.assert_allclose(limit, (intervals[:, 1, 0] - intervals[:, 0, 0]) / 2, rtol=1e-9)


def test_leave_one_out_residuals_and_an_interval_that_holds_theirs():
    """Jackknife+ for one number: our limit is symmetric about the surrogate and contains their interval."""
    train, fresh = only_peak(40, 1), only_peak(20, 3)
    surrogate, certificate = cross_calibrate(Quadratic(), train, 0.8)
    peer = regression.CrossConformalRegressor(LeastSquares(), confidence_level=0.9, method="plus", cv=-1)
    _, intervals = peer.fit_conformalize(*table(train)).predict_interval(table(fresh)[0])
    answer = certificate.bound(surrogate.predict(fresh.mu)).outputs["peak"]
    X, y = table(train)
    rows = np.arange(40)
    left_out = [np.abs(LeastSquares().fit(X[rows != i], y[rows != i]).predict(X[[i]]) - y[i])[0] for i in rows]
    np.testing.assert_allclose(certificate.residuals["peak"], left_out, rtol=1e-9)
    assert (answer.values + answer.limit >= intervals[:, 1, 0] - 1e-9).all()
    assert (answer.values - answer.limit <= intervals[:, 0, 0] + 1e-9).all()
    assert (2 * answer.limit < 2.0 * (intervals[:, 1, 0] - intervals[:, 0, 0])).all(), "and is not much wider"

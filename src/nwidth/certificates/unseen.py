"""Runs that the surrogate has seen say nothing about runs that it has not: they are found and refused."""

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import batch_size
from nwidth.rb.kernel import KernelRegression
from nwidth.rb.pod_regression import PODRegressionSurrogate
from nwidth.rb.regressors.gaussian_process import GaussianProcess
from nwidth.rb.regressors.rbf import RBFRegression
from nwidth.surrogates.base import Surrogate

#: Standardised parameters closer than this are the same run.
_SAME = 1e-9


def refuse_known(surrogate: Surrogate, mu: Mu, training: Mu | None) -> None:
    """InputError for calibration runs that are training runs.

    `training`: the parameters of the training runs. Without them, regressions are asked for the rows that they keep;
    other surrogates keep none, and then nothing is found.
    """
    if training is None:
        found = _remembered(surrogate, mu)
    else:
        known = set(_as_bytes(training))
        found = np.array([row in known for row in _as_bytes(mu)])
    if found.any():
        raise InputError(
            f"{int(found.sum())} of the {batch_size(mu)} calibration runs are training runs; a limit from them "
            "would be far too small: pass runs that the surrogate has not seen"
        )


def _remembered(surrogate: Surrogate, mu: Mu) -> Array:
    """Which runs are among the rows that a regression keeps, `(B,)`."""
    found = np.zeros(batch_size(mu), dtype=bool)
    if not isinstance(surrogate, PODRegressionSurrogate):
        return found
    for learned in (surrogate.field_model, surrogate.outputs):
        if learned is None:
            continue
        model = learned.regression.model
        if isinstance(model, KernelRegression | RBFRegression | GaussianProcess):
            found |= _among(learned.regression.features(mu), model.rows)
    return found


def _among(X: Real, rows: Real) -> Array:
    """Which rows of X `(B, F)` are rows of another table, to rounding, `(B,)`."""
    if X.shape[1] == 0:
        return np.zeros(len(X), dtype=bool)
    return np.array([bool((np.abs(rows - x).max(axis=1) <= _SAME * (1 + np.abs(x).max())).any()) for x in X])


def _as_bytes(mu: Mu) -> list[bytes]:
    """Every row of the parameters as one string of bytes."""
    table = [np.asarray(mu[name], dtype=np.float64).reshape(batch_size(mu), -1) for name in sorted(mu)]
    return [row.tobytes() for row in np.concatenate(table, axis=1)]

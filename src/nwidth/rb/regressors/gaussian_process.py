"""Gaussian processes by maximum marginal likelihood, with the kernels of `nwidth.rb.kernel`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg as sla
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.rb.kernel import Kernel, Training
from nwidth.rb.regressors.base import Uncertain

_SUBSET = 400
_MOST_ROWS = 5_000
#: So many leading columns have hyperparameters of their own; the rest, which carry little, share theirs.
_OWN = 6
_KERNELS = (("matern", "sum"), ("gauss", "sum"), ("matern", "product"))
_ARRAYS = ("rows", "weights", "mean", "lengths", "slopes", "noise", "variance", "part", "loo")


@dataclass(frozen=True, eq=False)
class GaussianProcess(Uncertain):
    """For column m of part p: `y_m ~ GP(mean_m, variance_m (k_p(x, z) + noise_p δ_xz))`, conditioned on the rows.

    k_p is the kernel of `KernelRegression` with its own lengths and slopes `(P, F)`; `part` `(M,)` says which
    hyperparameters a column has. `deviation` is `√(Σ_m variance_m (k(x, x) + noise - kᵀ (K + noise I)⁻¹ k))`.
    """

    kind: ClassVar[str] = "gaussian-process"

    kernels: tuple[tuple[str, str], ...]
    rows: Real
    weights: Real
    mean: Real
    lengths: Real
    slopes: Real
    noise: Real
    variance: Real
    part: Array
    loo: Real

    def predict(self, X: Array) -> Real:
        X = np.asarray(X, dtype=np.float64)
        result = np.empty((len(X), len(self.mean)))
        for p in np.unique(self.part):
            columns = self.part == p
            result[:, columns] = self._kernel(p)(X) @ self.weights[:, columns]
        return result + self.mean

    def deviation(self, X: Array) -> Real:
        X = np.asarray(X, dtype=np.float64)
        total = np.zeros(len(X))
        finite = np.isfinite(X).all(axis=1)
        total[~finite] = np.nan
        for p in np.unique(self.part):
            kernel = self._kernel(p)
            known = sla.solve_triangular(self._factors[int(p)], kernel(X[finite]).T, lower=True)
            prior = kernel.diagonal(X[finite]) + self.noise[p]
            left = np.maximum(prior - np.sum(known**2, axis=0), self.noise[p])
            total[finite] += float(np.sum(self.variance[self.part == p])) * left
        return np.sqrt(total)

    def take(self, columns: Array | slice) -> Self:
        return replace(
            self,
            weights=np.ascontiguousarray(self.weights[:, columns]),
            mean=self.mean[columns],
            variance=self.variance[columns],
            part=self.part[columns],
        )

    def _kernel(self, p: int) -> Kernel:
        return Kernel(*self.kernels[p], self.rows, self.lengths[p], self.slopes[p])

    @cached_property
    def _factors(self) -> dict[int, Real]:
        """Cholesky factors of K + noise I, one for each part that is left."""
        eye = np.eye(len(self.rows))
        return {
            int(p): sla.cholesky(self._kernel(p)(self.rows) + self.noise[p] * eye, lower=True)
            for p in np.unique(self.part)
        }

    def to_parts(self) -> Parts:
        kernels = [list(pair) for pair in self.kernels]
        return Parts({"kernels": kernels}, {name: getattr(self, name) for name in _ARRAYS}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        kernels = tuple((shape, form) for shape, form in config["kernels"])
        return cls(kernels=kernels, **{name: arrays[name] for name in _ARRAYS})


def fit_gaussian_process(X: Real, Y: Real, groups: Array | None = None, *, seed: int = 0) -> GaussianProcess:
    """The processes with the largest marginal likelihood, by L-BFGS with the exact gradient (a local maximum).

    X `(n, F)`, Y `(n, M)`; features of one group share a length and a slope. The first six columns have kernel, lengths
    and noise of their own, the others share theirs. Raises InputError for fewer than three or more than 5,000 rows.

    Reference: Rasmussen, Williams (2006), equations 2.30, 5.8 and 5.9; the variance is profiled out: n s² = yᵀ K⁻¹ y.
    """
    n = len(X)
    if not 3 <= n <= _MOST_ROWS:
        raise InputError(f"got {n} runs; a Gaussian process takes 3 to {_MOST_ROWS:,}: pass regressor='kernel'")
    groups = np.arange(X.shape[1]) if groups is None else np.asarray(groups)
    mean, place = Y.mean(axis=0), np.unique(groups, return_inverse=True)[1]
    part = np.minimum(np.arange(Y.shape[1]), _OWN)
    chosen = generator(seed).permutation(n)[:_SUBSET]
    parts = []
    with threadpool_limits(limits=1):
        for p in range(part.max(initial=0) + 1):
            columns = part == p
            training = Training.of(X[chosen], (Y - mean)[np.ix_(chosen, columns)], groups)
            parts.append(_likeliest(training))
        return _conditioned(parts, X, Y - mean, mean, part, place)


@dataclass(frozen=True)
class _Fit:
    shape: str
    form: str
    theta: Real
    value: float


def _likeliest(training: Training) -> _Fit:
    """The best of the kernels, each from the same start."""
    start, count = training.start(), len(training.squares)
    bounds = [*[(s - 3.5, s + 4.0) for s in start[:count]], *[(-10.0, 3.0)] * count, (np.log(1e-9), np.log(10.0))]
    fits = []
    for shape, form in _KERNELS:
        found = minimize(
            negative_log_likelihood, start, args=(training, shape, form), jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 40},
        )  # fmt: skip
        fits.append(_Fit(shape, form, found.x, float(found.fun)))
    return min(fits, key=lambda fit: fit.value)


def negative_log_likelihood(theta: Real, training: Training, shape: str, form: str) -> tuple[float, Real]:
    """`½ log|K| + n/2 mean_m log s_m²` per row, with a pull to the start that weighs as one run, and its gradient.

    With α = K⁻¹ y the derivative with respect to K is ½ (K⁻¹ - mean_m α_m α_mᵀ / s_m²), n s_m² = y_mᵀ K⁻¹ y_m.
    """
    n = len(training.Y)
    kernel = training.parts(theta, shape)
    factor = sla.cholesky(training.matrix(theta, form, kernel), lower=True, check_finite=False)
    inverse = sla.cho_solve((factor, True), np.eye(n), check_finite=False)
    alpha = inverse @ training.Y
    variance = np.maximum(np.sum(training.Y * alpha, axis=0) / n, 1e-300)
    value = float(np.sum(np.log(np.diag(factor)))) + n / 2 * float(np.mean(np.log(variance)))
    to_k = (inverse - (alpha / variance) @ alpha.T / training.Y.shape[1]) / 2
    scale = np.append(np.ones(len(theta) - 1), 3.0)
    pull = (theta - training.start()) / scale
    gradient = training.pulled_back(theta, form, kernel, to_k)
    return (value + 0.5 * float(pull @ pull)) / n, (gradient + pull / scale) / n


def _conditioned(parts: list[_Fit], X: Real, Y: Real, mean: Real, part: Array, place: Array) -> GaussianProcess:
    """Weights, variances and leave-one-out errors from all rows."""
    count, n = place.max(initial=-1) + 1, len(X)
    lengths = np.array([np.exp(fit.theta[:count])[place] for fit in parts])
    slopes = np.array([np.exp(fit.theta[count:-1])[place] for fit in parts])
    noise = np.exp([fit.theta[-1] for fit in parts])
    weights, missed, variance = np.empty_like(Y), np.empty_like(Y), np.empty(Y.shape[1])
    for p, fit in enumerate(parts):
        columns = part == p
        K = Kernel(fit.shape, fit.form, X, lengths[p], slopes[p])(X) + noise[p] * np.eye(n)
        inverse = sla.cho_solve((sla.cholesky(K, lower=True), True), np.eye(n))
        weights[:, columns] = inverse @ Y[:, columns]
        missed[:, columns] = weights[:, columns] / np.diag(inverse)[:, None]
        variance[columns] = np.maximum(np.sum(Y[:, columns] * weights[:, columns], axis=0) / n, 1e-300)
    kernels = tuple((fit.shape, fit.form) for fit in parts)
    loo = np.linalg.norm(missed, axis=1)
    return GaussianProcess(kernels, X, weights, mean, lengths, slopes, noise, variance, part, loo)

"""Radial basis functions with a polynomial part; everything that is free is chosen by leave-one-out errors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement
from math import comb
from typing import Any, ClassVar, Self

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.rb.regressors.base import Regressed

#: kernel -> the degrees of the polynomial that are tried.
_KERNELS: Mapping[str, tuple[int, ...]] = {
    "thin_plate_spline": (1,), "cubic": (1, 2), "quintic": (2,), "inverse_multiquadric": (0, 1), "gaussian": (0, 1)
}  # fmt: skip
_SCALE_FREE = ("thin_plate_spline", "cubic", "quintic")
_SHAPES = (0.3, 1.0)
_SMOOTHINGS = (1e-8, 1e-5, 1e-3)
_SWEEPS = 2
#: The choice is made on at most this many rows; the interpolant takes all.
_SUBSET = 400
_MOST_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class RBFRegression(Regressed):
    """`Y(x) = Σ_i φ(ε |S (x - x_i)|) w_i + p(x)` by `scipy.interpolate.RBFInterpolator`: rows x_i `(n, F)` scaled by
    `scales` S `(F,)`, values `(n, M)`, p a polynomial of degree `degree`, `smoothing` added to the diagonal."""

    kind: ClassVar[str] = "rbf-regression"

    kernel: str
    degree: int
    shape: float
    smoothing: float
    rows: Real
    values: Real
    scales: Real
    loo: Real

    @cached_property
    def _interpolant(self) -> RBFInterpolator:
        return RBFInterpolator(
            self.rows * self.scales,
            self.values,
            kernel=self.kernel,
            degree=self.degree,
            epsilon=self.shape,
            smoothing=self.smoothing,
        )

    def predict(self, X: Array) -> Real:
        X = np.asarray(X, dtype=np.float64)
        finite = np.isfinite(X).all(axis=1)
        result = np.full((len(X), self.values.shape[1]), np.nan)
        if finite.any():
            result[finite] = self._interpolant(X[finite] * self.scales)
        return result

    def take(self, columns: Array | slice) -> Self:
        return replace(self, values=np.ascontiguousarray(self.values[:, columns]))

    def to_parts(self) -> Parts:
        config = {name: getattr(self, name) for name in ("kernel", "degree", "shape", "smoothing")}
        return Parts(config, {name: getattr(self, name) for name in ("rows", "values", "scales", "loo")}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**{**config, **arrays})


def fit_rbf(X: Real, Y: Real, groups: Array | None = None, *, seed: int = 0) -> RBFRegression:
    """The interpolant with the smallest leave-one-out error: kernel, degree, shape, smoothing, then one scale for each
    group of features, doubled or halved as long as that helps.

    Raises InputError for fewer than three or more than 10,000 rows. Reference for the leave-one-out errors in closed
    form: Rippa, Adv. Comput. Math. 11 (1999), equation 13 (here with a polynomial part).
    """
    n = len(X)
    if not 3 <= n <= _MOST_ROWS:
        raise InputError(f"got {n} runs; radial basis functions take 3 to {_MOST_ROWS:,}: pass another regressor")
    groups = np.arange(X.shape[1]) if groups is None else np.asarray(groups)
    chosen = generator(seed).permutation(n)[:_SUBSET]
    with threadpool_limits(limits=1):
        best = min(_candidates(X[chosen], Y[chosen]), key=lambda c: c[1])[0]
        best = _scaled(best, X[chosen], Y[chosen], groups)
        loo = np.linalg.norm(residuals(best, X, Y), axis=1)
    return replace(best, rows=X, values=Y, loo=loo)


def residuals(model: RBFRegression, X: Real, Y: Real) -> Real:
    """`y_i - ŷ_{-i}(x_i) = w_i / [A⁻¹]_ii` for the system A of the interpolant through X, Y, `(n, M)`."""
    Z = X * model.scales
    tail = _monomials(Z, model.degree)
    n, width = len(Z), tail.shape[1]
    system = np.zeros((n + width, n + width))
    system[:n, :n] = _PHI[model.kernel](model.shape * cdist(Z, Z)) + model.smoothing * np.eye(n)
    system[:n, n:], system[n:, :n] = tail, tail.T
    inverse = np.linalg.inv(system)
    return (inverse[:n, :n] @ Y) / np.diag(inverse)[:n, None]


def _candidates(X: Real, Y: Real) -> Iterator[tuple[RBFRegression, float]]:
    for kernel, degrees in _KERNELS.items():
        for degree in degrees:
            if comb(X.shape[1] + degree, degree) > len(X) // 2:
                continue
            for shape in (1.0,) if kernel in _SCALE_FREE else _SHAPES:
                for smoothing in _SMOOTHINGS:
                    plain = RBFRegression(kernel, degree, shape, smoothing, X, Y, np.ones(X.shape[1]), np.zeros(len(X)))
                    yield plain, _error(plain, X, Y)


def _scaled(best: RBFRegression, X: Real, Y: Real, groups: Array) -> RBFRegression:
    """Coordinate descent over one scale for each group."""
    smallest = _error(best, X, Y)
    for _ in range(_SWEEPS):
        before = smallest
        for group in np.unique(groups):
            for factor in (2.0, 0.5):
                while True:
                    trial = replace(best, scales=np.where(groups == group, best.scales * factor, best.scales))
                    error = _error(trial, X, Y)
                    if not error < 0.99 * smallest or not 1e-3 < trial.scales.min() <= trial.scales.max() < 1e3:
                        break
                    best, smallest = trial, error
        if smallest > 0.98 * before:
            break
    return best


def _error(model: RBFRegression, X: Real, Y: Real) -> float:
    """The sum of squares of the leave-one-out errors; infinite where the system is singular."""
    try:
        value = float(np.sum(residuals(model, X, Y) ** 2))
    except np.linalg.LinAlgError:
        return np.inf
    return value if np.isfinite(value) else np.inf


def _monomials(Z: Real, degree: int) -> Real:
    """All monomials up to the degree, on coordinates in [-1, 1]."""
    low, high = Z.min(axis=0), Z.max(axis=0)
    unit = (2 * Z - low - high) / np.where(high > low, high - low, 1.0)
    columns = [np.ones(len(Z))]
    for d in range(1, degree + 1):
        columns += [np.prod(unit[:, list(c)], axis=1) for c in combinations_with_replacement(range(Z.shape[1]), d)]
    return np.stack(columns, axis=1)


def _thin_plate(r: Real) -> Real:
    return r * r * np.log(np.where(r > 0, r, 1.0))


#: The kernels with the signs of SciPy.
_PHI: Mapping[str, Any] = {
    "thin_plate_spline": _thin_plate,
    "cubic": lambda r: r**3,
    "quintic": lambda r: -(r**5),
    "inverse_multiquadric": lambda r: 1 / np.sqrt(1 + r * r),
    "gaussian": lambda r: np.exp(-r * r),
}

"""Kernel ridge regression with a length scale for each parameter, chosen by leave-one-out errors in closed form."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg as sla
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.rb.regressors.base import Regressed

SHAPES = ("matern", "gauss")
FORMS = ("sum", "product")
#: The hyperparameters are chosen on at most this many rows; the weights are fitted to all.
_SUBSET = 400
_MOST_ROWS = 10_000
#: Largest logarithm of a slope: with 1e-9 of noise, the condition number stays below 1e14.
_STEEPEST = 3.0
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Kernel:
    """`k(x, x_i)` of `KernelRegression` for fixed rows x_i `(n, F)`."""

    shape: str
    form: str
    rows: Real
    lengths: Real
    slopes: Real

    def __call__(self, X: Real) -> Real:
        """`(B, n)`."""
        squares = cdist(X / self.lengths, self.rows / self.lengths, "sqeuclidean")
        linear = (X * self.slopes) @ self.rows.T
        value, _ = _radial(self.shape, squares)
        return value + linear if self.form == "sum" else value * (1 + linear)

    def diagonal(self, X: Real) -> Real:
        """`k(x, x)`, `(B,)`."""
        return 1 + np.sum(X * X * self.slopes, axis=1)  # ρ(0) = 1, and 1 + t = 1 (1 + t)


@dataclass(frozen=True, eq=False)
class KernelRegression(Regressed):
    """`Y(x) = mean + Σ_i k(x, x_i) w_i` with rows x_i `(n, F)`, weights `(n, M)` and

        k(x, z) = ρ(|x - z|_ℓ) + t(x, z)   or   ρ(|x - z|_ℓ) (1 + t(x, z)),    t(x, z) = Σ_f a_f x_f z_f,

    ρ the Matern function of smoothness 5/2 or the Gauss function, |·|_ℓ the distance with a length scale for each
    feature. `loo` `(n,)` is the leave-one-out error of each row (root of the sum of squares over the M columns).
    """

    kind: ClassVar[str] = "kernel-regression"

    shape: str
    form: str
    rows: Real
    weights: Real
    mean: Real
    lengths: Real
    slopes: Real
    noise: float
    loo: Real

    def predict(self, X: Array) -> Real:
        X = np.asarray(X, dtype=np.float64)
        step = max(1, _BLOCK // max(1, len(self.rows)))
        blocks = [self._kernel(X[i : i + step]) @ self.weights for i in range(0, len(X), step)]
        return self.mean + (np.concatenate(blocks) if blocks else np.zeros((0, len(self.mean))))

    def take(self, columns: Array | slice) -> Self:
        return replace(self, weights=np.ascontiguousarray(self.weights[:, columns]), mean=self.mean[columns])

    def residuals(self) -> Real:
        """Leave-one-out residuals `(n, M)`: each row's value minus what the other rows predict for it."""
        factor = sla.cho_factor(self._kernel(self.rows) + self.noise * np.eye(len(self.rows)), lower=True)
        return self.weights / np.diag(sla.cho_solve(factor, np.eye(len(self.rows))))[:, None]

    def _kernel(self, X: Real) -> Real:
        return Kernel(self.shape, self.form, self.rows, self.lengths, self.slopes)(X)

    def to_parts(self) -> Parts:
        arrays = {n: getattr(self, n) for n in ("rows", "weights", "mean", "lengths", "slopes", "loo")}
        return Parts({"shape": self.shape, "form": self.form, "noise": self.noise}, arrays, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**{**config, **arrays})


def fit_kernel(
    X: Real,
    Y: Real,
    groups: Array | None = None,
    *,
    seed: int = 0,
    shapes: tuple[str, ...] = SHAPES,
    forms: tuple[str, ...] = FORMS,
) -> KernelRegression:
    """The regression with the smallest leave-one-out error among the kernels `shapes` x `forms`.

    X `(n, F)`, Y `(n, M)`; columns of X with the same entry of `groups` `(F,)` share a length scale and a slope.
    Minimises `Σ_i |y_i - ŷ_{-i}(x_i)|²`, where `y_i - ŷ_{-i}(x_i) = [K⁻¹ Y]_i / [K⁻¹]_ii`, by L-BFGS with the exact
    gradient (a local minimum). Raises InputError for fewer than three or more than 10,000 rows.

    Reference: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), section 5.4.2.
    """
    n = len(X)
    if not 3 <= n <= _MOST_ROWS:
        raise InputError(f"got {n} runs; the kernel regression takes 3 to {_MOST_ROWS:,}: pass another regressor")
    groups = np.arange(X.shape[1]) if groups is None else np.asarray(groups)
    mean = Y.mean(axis=0)
    chosen = generator(seed).permutation(n)[:_SUBSET]
    training = Training.of(X[chosen], Y[chosen] - mean, groups)
    # Hundreds of products of small matrices: more threads gain little, and wait for each other on a busy machine.
    with threadpool_limits(limits=1):
        best = min((training.minimise(shape, form) for shape in shapes for form in forms), key=lambda c: c.value)
    return _fit_all(best, X, Y - mean, mean, groups)


@dataclass(frozen=True)
class _Choice:
    """A kernel with the logarithms of its hyperparameters: lengths and slopes per group, noise."""

    shape: str
    form: str
    theta: Real
    value: float


@dataclass(frozen=True)
class Training:
    """What the leave-one-out error is made of: squared distances and products of rows, one matrix per group."""

    squares: Real
    products: Real
    Y: Real

    @classmethod
    def of(cls, X: Real, Y: Real, groups: Array) -> "Training":
        columns = [X[:, groups == g] for g in np.unique(groups)]
        squares = [cdist(c, c, "sqeuclidean") for c in columns]
        return cls(np.stack(squares), np.stack([c @ c.T for c in columns]), Y)

    def minimise(self, shape: str, form: str) -> _Choice:
        """The hyperparameters of one kernel: a descent, and for products a second one from where linearity helps."""
        start = self.start()
        # A product sees the slopes only through the radial part: from long lengths it never learns which is linear.
        count = len(self.squares)
        first = start - 1.5 * (np.arange(len(start)) < count) if form == "product" else start
        best = self._descend(shape, form, first, start)
        if form == "product":
            straight = self._straighten(best.theta, shape, form)
            if not np.array_equal(straight, best.theta):
                best = min(best, self._descend(shape, form, straight, start), key=lambda c: c.value)
        return best

    def _descend(self, shape: str, form: str, first: Real, start: Real) -> _Choice:
        count = len(self.squares)
        reach = [(s - 3.5, s + 4.0) for s in start[:count]]
        bounds = [*reach, *[(-10.0, _STEEPEST)] * count, (np.log(1e-9), np.log(10.0))]
        found = minimize(
            self.objective, first, args=(shape, form, start), jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 60},
        )  # fmt: skip
        return _Choice(shape, form, found.x, float(found.fun))

    def _straighten(self, theta: Real, shape: str, form: str) -> Real:
        """Each group in turn made nearly linear (a long length, a steep slope), where that lowers the error.

        A load enters linearly, a stiffness does not; a descent alone seldom finds out.
        """
        count = len(self.squares)
        best, value = theta, self.leave_one_out(theta, shape, form)[0]
        for g in range(count):
            trial = best.copy()
            trial[g] += 1.5
            trial[count + g] = _STEEPEST
            lower = self.leave_one_out(trial, shape, form)[0]
            if lower < value:
                best, value = trial, lower
        return best

    def start(self) -> Real:
        """Lengths as large as the cloud of rows, equal slopes, little noise."""
        variance = float(np.mean(np.sum(np.diagonal(self.products, axis1=1, axis2=2), axis=0)))
        count = len(self.squares)
        return np.concatenate([np.full(count, 0.5 * np.log(2 * variance + 1e-12)), np.zeros(count), [np.log(1e-4)]])

    def objective(self, theta: Real, shape: str, form: str, start: Real) -> tuple[float, Real]:
        """log of the relative leave-one-out error squared, and a pull to the start that weighs as one run in n."""
        value, gradient = self.leave_one_out(theta, shape, form)
        pull = (theta - start) / np.append(np.ones(len(theta) - 1), 3.0)
        scale = np.append(np.ones(len(theta) - 1), 3.0)
        return np.log(value) + pull @ pull / len(self.Y), gradient / value + 2 * pull / scale / len(self.Y)

    def leave_one_out(self, theta: Real, shape: str, form: str) -> tuple[float, Real]:
        """The relative leave-one-out error squared and its gradient, by one pass backwards through the formula.

        With α = K⁻¹Y, κ = diag K⁻¹ and L = Σ (α_ic / κ_i)² the derivative with respect to K is
        -(K⁻¹ Ā αᵀ + K⁻¹ diag(b) K⁻¹), Ā = 2 α / κ², b = -2 Σ_c α² / κ³.
        """
        parts = self.parts(theta, shape)
        inverse = np.linalg.inv(self.matrix(theta, form, parts))
        alpha, kappa = inverse @ self.Y, np.diag(inverse)
        total = float(np.sum(self.Y**2)) or 1.0
        value = float(np.sum((alpha / kappa[:, None]) ** 2)) / total + 1e-30
        b = -2 * np.sum(alpha**2, axis=1) / kappa**3
        to_k = -((inverse @ (2 * alpha / kappa[:, None] ** 2)) @ alpha.T + (inverse * b) @ inverse) / total
        return value, self.pulled_back(theta, form, parts, (to_k + to_k.T) / 2)

    def matrix(self, theta: Real, form: str, parts: tuple[Real, Real, Real]) -> Real:
        """K + noise I, `(n, n)`."""
        radial, _, linear = parts
        K = radial * (1 + linear) if form == "product" else radial + linear
        return K + np.exp(theta[-1]) * np.eye(len(K))

    def pulled_back(self, theta: Real, form: str, parts: tuple[Real, Real, Real], to_k: Real) -> Real:
        """The derivative by theta of a function whose (symmetric) derivative by K is `to_k`."""
        radial, slope, linear = parts
        lengths, slopes, noise = self._scales(theta)
        to_squares = to_k * slope * (1 + linear) if form == "product" else to_k * slope
        to_linear = to_k * radial if form == "product" else to_k
        return np.concatenate([
            -2 * lengths**-2 * np.tensordot(self.squares, to_squares, 2),
            slopes * np.tensordot(self.products, to_linear, 2),
            [noise * np.trace(to_k)],
        ])  # fmt: skip

    def parts(self, theta: Real, shape: str) -> tuple[Real, Real, Real]:
        """ρ, its derivative with respect to the squared distance, and the linear part t."""
        lengths, slopes, _ = self._scales(theta)
        radial, slope = _radial(shape, np.tensordot(lengths**-2, self.squares, 1))
        return radial, slope, np.tensordot(slopes, self.products, 1)

    def _scales(self, theta: Real) -> tuple[Real, Real, float]:
        count = len(self.squares)
        return np.exp(theta[:count]), np.exp(theta[count:-1]), float(np.exp(theta[-1]))


def _radial(shape: str, squares: Real) -> tuple[Real, Real]:
    """ρ and its derivative with respect to the squared distance."""
    if shape == "gauss":
        value = np.exp(-squares / 2)
        return value, -value / 2
    r = np.sqrt(5 * squares)
    decay = np.exp(-r)
    return (1 + r + r * r / 3) * decay, -(5 / 6) * (1 + r) * decay


def _fit_all(choice: _Choice, X: Real, Y: Real, mean: Real, groups: Array) -> KernelRegression:
    """Weights from all rows; with more rows than the hyperparameters saw, less noise is tried too."""
    place = np.unique(groups, return_inverse=True)[1]
    count = place.max(initial=-1) + 1
    lengths, slopes = np.exp(choice.theta[:count])[place], np.exp(choice.theta[count:-1])[place]
    noise = float(np.exp(choice.theta[-1]))
    empty = KernelRegression(
        choice.shape, choice.form, X, np.zeros((len(X), 0)), mean, lengths, slopes, noise, np.zeros(len(X))
    )
    K = empty._kernel(X)
    levels = [noise] if len(X) <= _SUBSET else [max(noise * f, 1e-9) for f in (1.0, 0.3, 0.1, 0.03)]
    fits = [(level, *_weights(K, Y, level)) for level in levels]
    noise, weights, loo = min(fits, key=lambda fit: float(np.sum(fit[2] ** 2)))
    return KernelRegression(choice.shape, choice.form, X, weights, mean, lengths, slopes, noise, loo)


def _weights(K: Real, Y: Real, noise: float) -> tuple[Real, Real]:
    """`(K + noise I)⁻¹ Y`, and the leave-one-out error of each row."""
    factor = sla.cho_factor(K + noise * np.eye(len(K)), lower=True)
    # Row by row, as a file brings them back: sums in another order differ in the last bits.
    weights = np.ascontiguousarray(sla.cho_solve(factor, Y))
    diagonal = np.diag(sla.cho_solve(factor, np.eye(len(K))))
    return weights, np.linalg.norm(weights / diagonal[:, None], axis=1)

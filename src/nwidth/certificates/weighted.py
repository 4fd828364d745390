"""Calibration for queries that are drawn differently from the runs, where the difference is stated.

With P the law of the runs, Q that of the queries and `w = dQ/dP` up to a constant, runs count by their weight.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit

from nwidth.certificates.cutoffs import Cutoff
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu, batch_size
from nwidth.rb.features import Features, fit_features
from nwidth.spaces.box import Box

_STEPS = 50


class Shift(Storable):
    """A stated change of the law of the queries. Write your own: inherit this (kind, to_parts, from_parts) and give
    `ratio`; pass it as `nw.certify(..., shift=MyShift())`."""

    @abstractmethod
    def ratio(self, mu: Mu) -> Real:
        """`dQ/dP` up to one constant, `(B,)` >= 0; 0 where Q has no cases, NaN where mu is not finite."""

    @property
    def known(self) -> bool:
        """Whether the ratio is exact; a ratio that was learned from samples turns the promise into an estimate."""
        return True


@dataclass(frozen=True)
class BetweenBoxes(Shift):
    """Runs are drawn in `source`, queries in `target`, both as `Box.sample` draws (uniformly or logarithmically).

    The ratio is exact. Raises InputError where `target` has cases that `source` never draws.
    """

    kind: ClassVar[str] = "shift-between-boxes"

    source: Box
    target: Box

    def __post_init__(self) -> None:
        if self.source.names != self.target.names:
            raise InputError(f"the boxes have names {self.source.names} and {self.target.names}; give the same")
        for i, name in enumerate(self.source.names):
            if self.target.low[i] < self.source.low[i] or self.target.high[i] > self.source.high[i]:  # type: ignore[index]
                raise InputError(
                    f"{name}: the queries' range leaves that of the runs; no weight can make up for runs that are "
                    "missing: add runs there"
                )

    def ratio(self, mu: Mu) -> Real:
        values = as_mu(mu, self.source.names)
        with np.errstate(divide="ignore", invalid="ignore"):
            return _density(self.target, values) / _density(self.source, values)

    def to_parts(self) -> Parts:
        return Parts({}, {}, {"source": self.source, "target": self.target})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["source"], children["target"])


def _density(box: Box, mu: Mu) -> Real:
    """The density that `box.sample` draws from, up to a constant, `(B,)`; 0 outside."""
    found = box.contains(mu).astype(np.float64)
    for name, log in zip(box.names, box.log, strict=True):  # type: ignore[arg-type]
        value = np.asarray(mu[name], dtype=np.float64)
        found = found / np.where(found > 0, value, 1.0) if log else found
    return np.where(np.all([np.isfinite(mu[n]) for n in box.names], axis=0), found, np.nan)


@dataclass(frozen=True, eq=False)
class LearnedShift(Shift):
    """`exp(b · φ(mu))` with φ standardised parameters and their squares: logistic regression, queries against runs."""

    kind: ClassVar[str] = "learned-shift"

    features: Features
    weights: Real

    @classmethod
    def of(cls, runs: Mu, queries: Mu, *, strength: float = 1.0) -> Self:
        """From the parameters of the runs and of some queries; `strength` of the penalty on the weights, in samples.

        Reference: Tibshirani, Barber, Candès, Ramdas, NeurIPS 2019, section 2.3.
        """
        queries = as_mu(queries, tuple(runs))
        pooled = {n: np.concatenate([np.asarray(runs[n]), np.asarray(queries[n])]) for n in runs}
        features = fit_features(pooled, components=16)
        Z = _polynomial(features(pooled))
        y = np.repeat([0.0, 1.0], [batch_size(runs), batch_size(queries)])
        # both classes weigh the same, so that the odds are the ratio of the densities
        share = np.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
        return cls(features, _logistic(Z, y, share, strength))

    @property
    def known(self) -> bool:
        return False

    def ratio(self, mu: Mu) -> Real:
        return np.exp(np.clip(_polynomial(self.features(mu)) @ self.weights, -30.0, 30.0))

    def to_parts(self) -> Parts:
        return Parts({}, {"weights": self.weights}, {"features": self.features})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["features"], arrays["weights"])


def _polynomial(X: Real) -> Real:
    return np.concatenate([np.ones((len(X), 1)), X, X**2 - 1], axis=1)


def _logistic(Z: Real, y: Real, share: Real, strength: float) -> Real:
    """Weights of a penalised logistic regression, by Newton's method."""
    penalty = strength * np.r_[0.0, np.ones(Z.shape[1] - 1)]
    b = np.zeros(Z.shape[1])
    for _ in range(_STEPS):
        p = expit(Z @ b)
        slope = Z.T @ (share * (y - p)) - penalty * b
        step = np.linalg.solve((Z.T * (share * p * (1 - p))) @ Z + np.diag(penalty + 1e-10), slope)
        b = b + step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < 1e-9:
            break
    return b


@dataclass(frozen=True, eq=False)
class Weighted(Cutoff):
    """q of a query is the smallest score s with `Σ_{s_i <= s} w_i >= level (Σ_i w_i + w(query))`; +inf where none is.

    For a query drawn from Q the limit holds with probability at least `level`, where the ratio w is the true one.
    `weights` `(n,)` are those of the runs. Reference: Tibshirani, Barber, Candès, Ramdas, Conformal prediction under
    covariate shift, NeurIPS 2019, corollary 1.
    """

    kind: ClassVar[str] = "weighted-cutoff"

    shift: Shift
    weights: Real

    @classmethod
    def of(cls, shift: Shift, mu: Mu) -> Self:
        """The weights of the calibration runs. Raises InputError where they are not weights."""
        weights = np.asarray(shift.ratio(mu), dtype=np.float64)
        if weights.shape != (batch_size(mu),) or not np.isfinite(weights).all() or weights.min() < 0:
            raise InputError(
                f"{type(shift).__name__}.ratio gave shape {weights.shape}, with values that are not all finite and >= "
                f"0, for {batch_size(mu)} runs; it is the ratio of two densities, (B,)"
            )
        if not weights.any():
            raise InputError("no calibration run lies where the queries do: add runs there")
        return cls(shift, weights)

    @property
    def effective(self) -> float:
        """How many equally weighted runs these are worth, `(Σ w)² / Σ w²`."""
        return float(self.weights.sum() ** 2 / np.sum(self.weights**2))

    def check(self, scores: Mapping[str, Real], level: float) -> None:
        if not 0 < level < 1:
            raise InputError(f"level is {level}; choose a number between 0 and 1, such as 0.9")
        worth = self.effective
        if level > worth / (worth + 1) + 1e-9:
            raise InputError(
                f"under this shift the {len(self.weights)} calibration runs are worth {worth:.1f}, and level {level:g} "
                f"needs {level / (1 - level):.0f}; add runs where the queries are, or ask for at most "
                f"{worth / (worth + 1):.2f}"
            )

    def __call__(self, name: str, scores: Real, level: float, prediction: Prediction, expected: Real) -> Real:
        order = np.argsort(scores, kind="stable")
        reached = np.cumsum(self.weights[order])
        own = self.shift.ratio(prediction.mu)
        # the allowance of `rank`, relative to the weights
        needed = level * (reached[-1] + own) - 1e-9 * reached[-1]
        place = np.searchsorted(reached, np.where(own > 0, needed, np.inf))
        return np.append(scores[order], np.inf)[place]

    def reasons(self, prediction: Prediction, limits: Real) -> Array:
        never = "the stated shift never draws this query"
        rare = "too few calibration runs lie where the stated shift draws this query"
        none = np.where(self.shift.ratio(prediction.mu) > 0, rare, never)
        return np.where(np.isfinite(limits), "", none).astype(object)

    def guarantee(self, words: str, level: float, count: int) -> Statistical | Estimate:
        drawn = f"{words}; for queries drawn by the stated shift, under which the runs are worth {self.effective:.0f}"
        if self.shift.known:
            return Statistical(drawn, level, count)
        return Estimate(f"{drawn}, at level {level:g}", "the true ratio of the densities (this one was learned)")

    def to_parts(self) -> Parts:
        return Parts({}, {"weights": self.weights}, {"shift": self.shift})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["shift"], arrays["weights"])

"""How hard a query is: the expected size of the surrogate's error, learned on runs of its own.

A limit that is the same for every query cannot tell which one to refine. The scale here only shapes the limit; that
it holds comes from the calibration afterwards, on other runs.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from nwidth.core.arrays import Array, Mu, Real
from nwidth.rb.features import Features, fit_features
from nwidth.rb.kernel import KernelRegression, fit_kernel
from nwidth.rb.regressors.deviation import Deviation

#: What the error may depend on, the simplest first. 'size': of the answer; 'distance': to the nearest training runs;
#: 'deviation': what the regression itself thinks of its error, where it has an opinion (a Gaussian process).
CANDIDATES: Mapping[str, tuple[str, ...]] = {
    "one for all": (),
    "size": ("size",),
    "distance": ("distance",),
    "deviation": ("deviation",),
    "parameters": ("parameters",),
    "size and distance": ("size", "distance"),
    "everything": ("parameters", "size", "distance"),
}
PARTS = ("parameters", "size", "distance", "deviation")
#: A scale that looks at more must leave at most this part of what a simpler one leaves.
_WORTH = 0.95
_NEIGHBOURS = 3
_COMPONENTS = 16
_FEWEST = 15


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is known about a query besides its answer: standardised parameters, and distance to the training runs.

    `known` `(n, F)` are the features of the training runs; with none, distances are not used. `deviation` is the
    surrogate's own, where it has one.
    """

    features: Features
    known: Real
    deviation: Deviation | None = None

    @classmethod
    def of(cls, mu: Mu, training: Mu | None = None, deviation: Deviation | None = None) -> "Surroundings":
        """From the training's parameters, or, where they are not at hand, from those of the calibration."""
        features = fit_features(mu if training is None else training, components=_COMPONENTS)
        known = np.empty((0, len(features.groups))) if training is None else features(training)
        return cls(features, known, deviation)

    def columns(self, mu: Mu, size: Real, parts: Collection[str] = PARTS) -> dict[str, Real]:
        """Name -> columns `(B, .)` for a regression, not finite where the query is not; those of `parts` only."""
        found = {"size": np.log(size + 1e-300)[:, None]}
        if self.deviation is not None and "deviation" in parts:
            found["deviation"] = np.log(self.deviation(mu) + 1e-300)[:, None]
        if not set(parts) - {"size", "deviation"}:
            return found
        X = self.features(mu)
        found["parameters"] = X
        if len(self.known) and "distance" in parts:
            count = min(_NEIGHBOURS, len(self.known))
            nearest = np.sort(cdist(X, self.known), axis=1)[:, :count].mean(axis=1)
            found["distance"] = np.log(nearest + 1e-6)[:, None]
        return found


@dataclass(frozen=True, eq=False)
class Difficulty:
    """`g(query)`, the expected logarithm of the error: a kernel regression on some columns, or a constant.

    The regression is held within the range that was seen, widened by a factor of two: it must not run away.
    """

    name: str
    model: KernelRegression | None = None
    shift: Real | None = None
    scale: Real | None = None
    low: float = 0.0
    high: float = 0.0

    def __call__(self, columns: Mapping[str, Real]) -> Real:
        """`g` `(B,)`; NaN where the query is not finite."""
        if self.model is None or self.shift is None or self.scale is None:
            return np.zeros(len(columns["size"]))
        Z = (_join(columns, CANDIDATES[self.name]) - self.shift) / self.scale
        return np.clip(self.model.predict(Z)[:, 0], self.low, self.high)


def choose_difficulty(columns: Mapping[str, Real], log_errors: Real, seed: int = 0) -> Difficulty:
    """The candidate that foretells the logarithm of the errors of these runs best, by leave-one-out.

    The spread of what is left decides, not a quantile of it: a quantile of a few dozen numbers is too noisy to choose
    by. A candidate that looks at more must foretell better by 5 %; with fewer than 15 runs there is one limit for all.
    """
    count = len(log_errors)
    best = Difficulty("one for all")
    if count < _FEWEST:
        return best
    smallest = float(np.std(log_errors)) * count / (count - 1)
    for name, parts in CANDIDATES.items():
        if not parts or any(p not in columns for p in parts):
            continue
        candidate, expected = _fit(name, columns, log_errors, seed)
        left = float(np.sqrt(np.mean((log_errors - expected) ** 2)))
        if left < (smallest if len(parts) == len(CANDIDATES[best.name]) else _WORTH * smallest):
            best, smallest = candidate, left
    return best


def _fit(name: str, columns: Mapping[str, Real], log_errors: Real, seed: int) -> tuple[Difficulty, Real]:
    """The regression, and what it expects of each row when it has not seen that row."""
    Z = _join(columns, CANDIDATES[name])
    shift, scale = Z.mean(axis=0), Z.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    groups = np.concatenate([np.full(columns[p].shape[1], i) for i, p in enumerate(CANDIDATES[name])])
    Y = log_errors[:, None]
    model = fit_kernel((Z - shift) / scale, Y, groups, seed=seed, shapes=("gauss",), forms=("sum",))
    expected = log_errors - model.residuals()[:, 0]
    low, high = float(expected.min() - np.log(2)), float(expected.max() + np.log(2))
    return Difficulty(name, model, shift, scale, low, high), np.clip(expected, low, high)


def _join(columns: Mapping[str, Real], parts: tuple[str, ...]) -> Array:
    return np.concatenate([columns[p] for p in parts], axis=1)

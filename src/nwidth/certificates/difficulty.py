"""How hard a query is: the expected size of the surrogate's error, learned on runs of its own.

A limit that is the same for every query cannot tell which one to refine. The scale here only shapes the limit; that
it holds comes from the calibration afterwards, on other runs.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.distance import cdist

from nwidth.certificates.hints import Hint
from nwidth.certificates.quantities import sizes_of
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction
from nwidth.core.validation import check_choice
from nwidth.rb.features import Features, fit_features
from nwidth.rb.kernel import KernelRegression, fit_kernel
from nwidth.rb.regressors.deviation import Deviation

ONE_FOR_ALL = "one for all"
#: What the error may depend on, the simplest first. 'size': of the answer; 'distance': to the nearest training runs;
#: 'deviation': what the regression itself thinks of its error, where it has an opinion (a Gaussian process);
#: 'residual' of the equation and 'spread' of an ensemble, where there is one (`hints`).
CANDIDATES: Mapping[str, tuple[str, ...]] = {
    ONE_FOR_ALL: (),
    "size": ("size",),
    "distance": ("distance",),
    "deviation": ("deviation",),
    "residual": ("residual",),
    "spread": ("spread",),
    "parameters": ("parameters",),
    "size and distance": ("size", "distance"),
    "residual and size": ("residual", "size"),
    "residual and spread": ("residual", "spread"),
    "everything": ("parameters", "size", "distance"),
}
PARTS = ("parameters", "size", "distance", "deviation", "residual", "spread")
#: A scale that looks at more must leave at most this part of what a simpler one leaves.
_WORTH = 0.95
_NEIGHBOURS = 3
_COMPONENTS = 16
_FEWEST = 15


def features_of(mu: Mu, training: Mu | None = None) -> tuple[Features, Real]:
    """Standardised parameters and those of the training runs, `(n, F)`; from `mu` where these are not at hand."""
    features = fit_features(mu if training is None else training, components=_COMPONENTS)
    return features, np.empty((0, len(features.groups))) if training is None else features(training)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is known about a query besides its answer: standardised parameters, and distance to the training runs.

    `known` `(n, F)` are the features of the training runs; with none, distances are not used. `deviation` is the
    surrogate's own, where it has one; `hints` look at the answer: residual, spread. `norm` and `spread` are those that
    errors are measured in.
    """

    features: Features
    known: Real
    norm: str = "max"
    spread: Mapping[str, float] = field(default_factory=dict)
    deviation: Deviation | None = None
    hints: tuple[Hint, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that a scale may use here."""
        there = {"size", "parameters", *(h.part for h in self.hints)}
        there |= {"distance"} if len(self.known) else set()
        there |= {"deviation"} if self.deviation is not None else set()
        return tuple(part for part in PARTS if part in there)

    def columns(self, prediction: Prediction, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, Real]]:
        """Quantity -> part -> columns `(B, .)` for a regression, not finite where the query is not.

        `wanted`: quantity -> the parts that it needs; what no quantity needs is not computed.
        """
        needed = {part for parts in wanted.values() for part in parts}
        found: dict[str, dict[str, Real]] = {name: {} for name in wanted}
        for name, size in sizes_of(prediction, self.spread).items():
            if name in found:
                found[name]["size"] = np.log(size + 1e-300)[:, None]
        shared = self._shared(prediction.mu, needed)
        for columns in found.values():
            columns |= shared
        for hint in self.hints:
            if hint.part in needed:
                values = hint(prediction, self.norm, self.spread)
                for name, columns in found.items():
                    columns[hint.part] = np.log(values[name] + 1e-300)[:, None]
        return found

    def _shared(self, mu: Mu, needed: Collection[str]) -> dict[str, Real]:
        """What is the same for every quantity."""
        found: dict[str, Real] = {}
        if self.deviation is not None and "deviation" in needed:
            found["deviation"] = np.log(self.deviation(mu) + 1e-300)[:, None]
        if not {"parameters", "distance"} & set(needed):
            return found
        X = self.features(mu)
        found["parameters"] = X
        if len(self.known) and "distance" in needed:
            count = min(_NEIGHBOURS, len(self.known))
            nearest = np.sort(cdist(X, self.known), axis=1)[:, :count].mean(axis=1)
            found["distance"] = np.log(nearest + 1e-6)[:, None]
        return found


@dataclass(frozen=True, eq=False)
class Difficulty:
    """`g(query)`, the expected logarithm of the error: a kernel regression on some columns, a column, or a constant.

    The regression is held within the range that was seen, widened by a factor of two: it must not run away. With
    `plain`, the errors are taken to be proportional to the one column.
    """

    name: str
    model: KernelRegression | None = None
    shift: Real | None = None
    scale: Real | None = None
    low: float = 0.0
    high: float = 0.0
    plain: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """What it looks at."""
        return CANDIDATES[self.name]

    def __call__(self, columns: Mapping[str, Real]) -> Real:
        """`g` `(B,)`; NaN where the query is not finite."""
        if self.plain:
            return columns[self.parts[0]][:, 0]
        if self.model is None or self.shift is None or self.scale is None:
            return np.zeros(len(columns["size"]))
        Z = (_join(columns, self.parts) - self.shift) / self.scale
        return np.clip(self.model.predict(Z)[:, 0], self.low, self.high)

    def left_out(self, log_errors: Real, expected: Real) -> Real:
        """`g` of the runs that it was learned from, each as if it had been left out."""
        if self.model is None:
            return expected
        return np.clip(log_errors - self.model.residuals()[:, 0], self.low, self.high)


def choose_difficulty(
    columns: Mapping[str, Real], log_errors: Real, seed: int = 0, scale: str | None = None
) -> Difficulty:
    """The candidate that foretells the logarithm of the errors of these runs best, by leave-one-out.

    The spread of what is left decides, not a quantile of it: a quantile of a few dozen numbers is too noisy to choose
    by. A candidate that looks at more must foretell better by 5 %; with fewer than 15 runs there is one limit for all.
    `scale` names the candidate instead; with fewer than 15 runs the errors are then taken to be proportional to it.
    Raises InputError for a name that is none, or that looks at what is not there.
    """
    if scale is not None:
        return _named(scale, columns, log_errors, seed)
    count = len(log_errors)
    best = Difficulty(ONE_FOR_ALL)
    if count < _FEWEST:
        return best
    smallest = float(np.std(log_errors)) * count / (count - 1)
    for name, parts in CANDIDATES.items():
        if not parts or any(p not in columns for p in parts):
            continue
        candidate, expected = _fit(name, columns, log_errors, seed)
        left = float(np.sqrt(np.mean((log_errors - expected) ** 2)))
        if left < (smallest if len(parts) == len(best.parts) else _WORTH * smallest):
            best, smallest = candidate, left
    return best


def _named(scale: str, columns: Mapping[str, Real], log_errors: Real, seed: int) -> Difficulty:
    parts = CANDIDATES[check_choice("scale", scale, tuple(CANDIDATES))]
    missing = [p for p in parts if p not in columns]
    if missing:
        raise InputError(
            f"scale {scale!r} looks at the {missing[0]}, which is not known here; known: {', '.join(columns)} (the "
            "residual takes problem=, the distance training=, the spread hints=[Spread(members)])"
        )
    if not parts:
        return Difficulty(ONE_FOR_ALL)
    if len(log_errors) >= _FEWEST:
        return _fit(scale, columns, log_errors, seed)[0]
    if len(parts) > 1 or parts == ("parameters",):
        raise InputError(f"scale {scale!r} is learned from at least {_FEWEST} runs of its own, got {len(log_errors)}")
    return Difficulty(scale, plain=True)


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

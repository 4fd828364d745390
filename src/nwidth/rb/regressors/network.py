"""A small ensemble of neural networks: trained with torch, stored as arrays, evaluated with NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.kinds import load_attribute
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.rb.regressors.base import Uncertain

_MEMBERS, _WIDTH, _STEPS = 6, 48, 1500
_FEWEST = 10
_RIDGES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_NAMES = ("straight", "w1", "b1", "w2", "b2", "w3", "b3")


@dataclass(frozen=True, eq=False)
class NetworkRegression(Uncertain):
    """The mean of members `y_e(x) = S_e x + W₃ s(W₂ s(W₁ x + b₁) + b₂) + b₃`, s(z) = tanh z.

    Each member was trained without a part of the rows; `loo` is the error of each row by the members that had not seen
    it. `deviation` is the spread of the members. Weights have the member as their first axis.
    """

    kind: ClassVar[str] = "network-regression"

    layers: Mapping[str, Real]
    scale: Real
    floor: float
    loo: Real

    def predict(self, X: Array) -> Real:
        return self.members(X).mean(axis=0)

    def deviation(self, X: Array) -> Real:
        spread = np.sqrt(np.sum(self.members(X).var(axis=0, ddof=1), axis=1))
        return np.sqrt(spread**2 + self.floor**2)

    def members(self, X: Array) -> Real:
        """Values of every member, `(E, B, M)`."""
        return answers(self.layers, np.asarray(X, dtype=np.float64)) * self.scale

    def take(self, columns: Array | slice) -> Self:
        last = {n: np.ascontiguousarray(self.layers[n][..., columns]) for n in ("straight", "w3", "b3")}
        return replace(self, layers={**self.layers, **last}, scale=self.scale[columns])

    def to_parts(self) -> Parts:
        return Parts({"floor": self.floor}, {**self.layers, "scale": self.scale, "loo": self.loo}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        layers = {name: arrays[name] for name in _NAMES}
        return cls(layers, arrays["scale"], config["floor"], arrays["loo"])


def answers(layers: Mapping[str, Real], X: Real) -> Real:
    """`(E, B, M)` at features `(B, F)`."""
    return X @ layers["straight"] + _hidden(layers, X) @ layers["w3"] + layers["b3"]


def _hidden(layers: Mapping[str, Real], X: Real) -> Real:
    """The second hidden layer, `(E, B, width)`."""
    return np.tanh(np.tanh(X @ layers["w1"] + layers["b1"]) @ layers["w2"] + layers["b2"])


def _refitted(layers: Mapping[str, Real], X: Real, Y: Real, held: Array) -> dict[str, Real]:
    """The last, linear layer once more, by ridge regression on the hidden layer that training found, where some ridge
    foretells the rows left out better: gradient descent ends long before a least-squares problem is solved."""
    refitted = {name: value.copy() for name, value in layers.items()}
    hidden, before = _hidden(layers, X), answers(layers, X)
    width = X.shape[1]
    for e, out in enumerate(held):
        table = np.concatenate([X, hidden[e]], axis=1)
        shift, mean = table[~out].mean(axis=0), Y[~out].mean(axis=0)
        left, sigma, right = np.linalg.svd(table[~out] - shift, full_matrices=False)
        smallest = float(np.sum((before[e][out] - Y[out]) ** 2))
        for ridge in _RIDGES:
            weights = (right.T * (sigma / (sigma**2 + (ridge * sigma[0]) ** 2))) @ (left.T @ (Y[~out] - mean))
            missed = float(np.sum((mean + (table[out] - shift) @ weights - Y[out]) ** 2))
            if missed < smallest:
                smallest = missed
                refitted["straight"][e], refitted["w3"][e] = weights[:width], weights[width:]
                refitted["b3"][e] = mean - shift @ weights
    return refitted


def fit_network(X: Real, Y: Real, groups: Array | None = None, *, seed: int = 0) -> NetworkRegression:
    """The ensemble; needs the extra `neural` to be trained, not to be used.

    Every member leaves out one part of the rows (a cross-validation), stops where the error there was smallest, and so
    gives an error on rows that it has not been fitted to. Raises InputError for fewer than 10 rows or without torch.
    """
    n = len(X)
    if n < _FEWEST:
        raise InputError(f"got {n} runs; a network takes at least {_FEWEST}: pass another regressor")
    train = load_attribute("nwidth.rb.regressors._network_training:train")
    size = float(np.sqrt(np.mean(Y**2))) or 1.0
    held = np.empty((_MEMBERS, n), dtype=bool)
    held[:] = generator(seed, 1).permutation(n) % _MEMBERS == np.arange(_MEMBERS)[:, None]
    layers = _refitted(train(X, Y / size, held, width=_WIDTH, steps=_STEPS, seed=seed), X, Y / size, held)
    scale = np.full(Y.shape[1], size)
    owner = np.argmax(held, axis=0)
    unseen = (answers(layers, X) * scale)[owner, np.arange(n)]
    loo = np.linalg.norm(unseen - Y, axis=1)
    return NetworkRegression(layers, scale, 1e-3 * float(np.sqrt(np.mean(loo**2))) + 1e-300, loo)

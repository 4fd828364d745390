"""A cheap family of runs with a known law, and a surrogate that is wrong in a way that depends on the query."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.stats import betabinom

from nwidth.certificates.quantile import rank
from nwidth.core.prediction import Output, uncertified
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.points import Points
from nwidth.surrogates.base import Fitter, Surrogate

BOX = Box(("a", "b"), low=-1.0, high=1.0)
X = np.linspace(0, 1, 12)
SPACE = Points((12,), X[:, None])


def solve(mu):
    """The full-order solver: exp(a + 1) sin(3 x + b), rough where a is large."""
    return np.exp(mu["a"] + 1)[:, None] * np.sin(3 * X + mu["b"][:, None])


def runs(count, seed):
    """Fresh runs, uniform in the box."""
    rng = np.random.default_rng(seed)
    mu = {name: rng.uniform(-1, 1, count) for name in BOX.names}
    fields = solve(mu)
    return Snapshots(BOX, SPACE, mu, fields, outputs={"peak": fields.max(axis=1), "mean": fields.mean(axis=1)})


def bare(count, seed):
    """Runs without outputs: one quantity, the field."""
    return replace(runs(count, seed), outputs={})


def without_fields(data):
    return replace(data, space=Points((0,)), fields=np.empty((len(data), 0)))


def deviation(hits, fresh, calibrated, level=0.9):
    """Standard errors by which hits differ from their law, over repeats that share no run.

    Of `fresh` runs, a limit from n `calibrated` ones holds for a beta-binomial number of parameters k = ⌈(n + 1) level⌉
    and n + 1 - k. Each is one number per repeat, or the same for all of them.
    """
    hits = np.asarray(hits)
    laws = [
        betabinom(m, rank(n, level), n + 1 - rank(n, level))
        for m, n in zip(np.broadcast_to(fresh, hits.shape), np.broadcast_to(calibrated, hits.shape), strict=True)
    ]
    return (hits.sum() - sum(law.mean() for law in laws)) / np.sqrt(sum(law.var() for law in laws))


@dataclass(frozen=True)
class Quadratic(Fitter):
    """Least squares with all quadratic monomials: biased, cheap, and overfitted where runs are few."""

    degree: int = 2

    def fit(self, snapshots=None, problem=None, *, seed=0, run=None):
        M = monomials(snapshots.mu, self.degree)
        table = np.concatenate([snapshots.fields, *(v[:, None] for v in snapshots.outputs.values())], axis=1)
        weights = np.linalg.lstsq(M, table, rcond=None)[0]
        return QuadraticSurrogate(snapshots.parameters, snapshots.space, weights, self.degree, tuple(snapshots.outputs))


def monomials(mu, degree):
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return np.stack([mu["a"] ** i * mu["b"] ** j for i, j in powers], axis=1)


@dataclass(frozen=True, eq=False)
class QuadraticSurrogate(Surrogate):
    kind: ClassVar[str] = "test-quadratic"
    box: Box
    points: Points
    weights: np.ndarray
    degree: int
    names: tuple[str, ...]

    @property
    def parameters(self):
        return self.box

    @property
    def space(self):
        return self.points

    def predict(self, mu):
        mu = as_mu(mu, self.box.names)
        table = monomials(mu, self.degree) @ self.weights
        size = self.points.size
        unknown = np.full(len(table), np.inf)
        outputs = {n: Output(table[:, size + i], unknown) for i, n in enumerate(self.names)}
        return uncertified(mu, table[:, :size], self.points, self.box.contains(mu), outputs)

    def to_parts(self):
        config = {"degree": self.degree, "names": self.names}
        return Parts(config, {"weights": self.weights}, {"box": self.box, "points": self.points})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(children["box"], children["points"], arrays["weights"], config["degree"], tuple(config["names"]))

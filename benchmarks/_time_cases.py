"""Small problems in time, their steps in extended precision for a batch, and answers with errors of many kinds."""

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction, uncertified
from nwidth.core.storable import Parts
from nwidth.core.validation import batch_size, select
from nwidth.problems.base import Evolution
from nwidth.problems.min_theta import MinTheta
from nwidth.problems.parabolic import AffineEvolution, EvolutionTerms, Stepping
from nwidth.problems.stepped import Stepped
from nwidth.rb.pod_regression import PODRegression
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.box import Box
from nwidth.spaces.mesh import Form, MeshSpace
from nwidth.spaces.points import Points
from nwidth.spaces.trajectories import Trajectories
from nwidth.surrogates.base import Surrogate

LONG = np.longdouble
KINDS = ("none", "zero", "huge", "rough", "jumps", "late", "drift", "boundary")


class RandomSteps(AffineEvolution):
    """Two random matrices, of which one has a coefficient that varies in time by a contrast of 100, a random mass, one
    load; the first node is prescribed."""

    parameters: Any = Box(("a", "b", "start"), low=(0.1, 0.1, -1.0), high=(10.0, 10.0, 1.0), log=(True, True, False))
    space: Any = None
    stepping: Any = None

    def __init__(self, size: int, stepping: Stepping, seed: int, spread: float):
        rng = np.random.default_rng(seed)
        free = np.arange(size + 1) > 0
        first, second, mass = (_definite(rng, size + 1, s) for s in (spread, spread, 5.0))
        smallest = float(np.linalg.eigvalsh((first + second)[1:, 1:])[0]) * (1 - 1e-6)
        self._mass = Form(sp.csr_array(mass), float(np.linalg.eigvalsh(mass[1:, 1:])[0]) * (1 - 1e-6))
        self.stepping = stepping
        elements = np.stack([np.arange(size), np.arange(1, size + 1)], axis=1)
        energy = Form(sp.csr_array(first + second), smallest)
        self.space = MeshSpace(np.arange(size + 1.0)[:, None], elements, free, energy, self._mass, "line")
        self._start = rng.normal(size=(1, size + 1)) * free
        matrices = (sp.csr_array(first), sp.csr_array(second))
        loads = rng.normal(size=(1, size + 1)) * free
        lift = np.where(free, 0.0, 0.7)
        self._terms = EvolutionTerms(matrices, loads, free, lift, self._mass, MinTheta(np.ones(2), 1e-10))

    def terms(self) -> EvolutionTerms:
        return self._terms

    def coefficients(self, mu: Mu, times: Real) -> tuple[Real, Real]:
        a, b = (np.asarray(mu[n], dtype=np.float64)[:, None] for n in ("a", "b"))
        theta = np.stack([a + 0 * times, b * 10 ** np.sin(5 * times)], axis=2)
        return theta, np.cos(3 * times)[None, :, None] * np.ones((len(a), 1, 1))

    def starts(self, mu: Mu) -> tuple[Real, Real]:
        return np.asarray(mu["start"], dtype=np.float64)[:, None], self._start


def _definite(rng: np.random.Generator, size: int, spread: float) -> Real:
    vectors = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return (vectors * np.geomspace(1.0, spread, size)) @ vectors.T


class Reference:
    """The steps of a batch in extended precision: float64 factors, residuals and sums in the wide type."""

    def __init__(self, problem: AffineEvolution | Stepped, mu: Mu):
        self.problem, self._steps = problem, problem.stepping
        self._affine(problem, mu) if isinstance(problem, AffineEvolution) else self._own(problem, mu)

    def _affine(self, problem: AffineEvolution, mu: Mu) -> None:
        steps, terms = self._steps, problem.terms()
        theta, phi = (a.astype(LONG) for a in problem.coefficients(mu, steps.points(0, steps.count)))
        self.free = terms.free
        self._mass = _wide(problem.mass().matrix)
        matrices = np.stack([_wide(sp.csr_array(m)) for m in terms.matrices])
        self._a = [np.tensordot(theta[:, k], matrices, axes=(1, 0)) for k in range(steps.count)]
        self._loads = phi @ terms.loads.astype(LONG)
        psi, g = problem.starts(mu)
        self._given = np.zeros((len(psi), steps.count + 1, len(self.free)), dtype=LONG)
        self._given[:, 0] = psi.astype(LONG) @ g.astype(LONG)
        self._shift = terms.lift.astype(LONG)

    def _own(self, problem: Stepped, mu: Mu) -> None:
        steps, weight = self._steps, LONG(self._steps.weight)
        samples = [problem.problem.marching(select(mu, slice(i, i + 1))) for i in range(batch_size(mu))]
        starts = problem.initial(mu).reshape(len(samples), -1)
        self.free, self._mass = samples[0].free, _wide(sp.csr_array(samples[0].mass))
        operators = np.stack([_wide(sp.csr_array(s.operator)) for s in samples])
        self._a = [operators] * steps.count
        loads = np.stack([[s.load(k * steps.dt) for k in range(steps.count + 1)] for s in samples]).astype(LONG)
        self._loads = weight * loads[:, 1:] + (1 - weight) * loads[:, :-1]
        lifts = np.stack([[s.lift(k * steps.dt) for k in range(steps.count + 1)] for s in samples])
        self._given = np.where(self.free, 0.0, lifts).astype(LONG)
        self._given[:, 0] = np.where(self.free, starts, lifts[:, 0])
        self._shift = np.zeros(len(self.free), dtype=LONG)

    def levels(self) -> Array:
        """`(B, K, N)`."""
        weight, dt, free = LONG(self._steps.weight), LONG(self._steps.dt), self.free
        w, found = self._given[:, 0], []
        for k, a in enumerate(self._a):
            matrix = self._mass / dt + weight * a
            after = np.where(free, 0, self._given[:, k + 1])
            right = self._loads[:, k] + (w @ self._mass) / dt - (1 - weight) * _times(a, w) - _times(matrix, after)
            inner = matrix[:, free][:, :, free]
            factor = np.linalg.inv(inner.astype(np.float64)).astype(LONG)
            x = np.zeros((len(w), int(free.sum())), dtype=LONG)
            for _ in range(8):
                x = x + _times(factor, right[:, free] - _times(inner, x))
            w = after.copy()
            w[:, free] = x
            found.append(w + self._shift)
        return np.stack(found, axis=1)

    def errors(self, levels: Array, field: Array) -> tuple[Real, Real]:
        """`‖e^k‖_M` `(B, K)` and the space-time energy norm at the end `(B,)` of answers `(B, K, N)`."""
        weight, e = LONG(self._steps.weight), (field.astype(LONG) - levels) * self.free
        middle = weight * e + (1 - weight) * np.concatenate([np.zeros_like(e[:, :1]), e[:, :-1]], axis=1)
        squares = np.maximum(np.sum(e * (e @ self._mass), axis=2), 0)
        work = sum(np.sum(middle[:, k] * _times(a, middle[:, k]), axis=1) for k, a in enumerate(self._a))
        energy = np.sqrt(squares[:, -1] + LONG(self._steps.dt) * work)
        return np.sqrt(squares).astype(np.float64), energy.astype(np.float64)


def _wide(matrix: sp.csr_array) -> Array:
    return np.asarray(matrix.toarray(), dtype=LONG)


def _times(matrices: Array, rows: Array) -> Array:
    return np.einsum("bij,bj->bi", matrices, rows)


def disturbed(levels: Array, free: Array, seed: int) -> Array:
    """Answers `(B, K, N)` from the truth: a kind of error and a size for each sample."""
    rng, (batch, steps, count) = np.random.default_rng(seed), levels.shape
    fields, bump = levels.astype(np.float64), np.sin(np.pi * np.arange(count) / (count - 1))
    for b in range(batch):
        kind, size = KINDS[b % len(KINDS)], 10.0 ** rng.uniform(-9, 0) * max(1.0, float(np.abs(fields[b]).max()))
        if kind == "zero":
            fields[b] = 0.0
        elif kind == "huge":
            fields[b] += 1e12 * rng.normal(size=(steps, count))
        elif kind == "rough":
            fields[b] += size * rng.normal(size=(steps, count))
        elif kind == "jumps":
            fields[b] += size * rng.normal(size=(steps, 1)) * bump
        elif kind == "late":
            fields[b, -1] += size * bump
        elif kind == "drift":
            fields[b] += size * bump * np.linspace(0, 1, steps)[:, None]
        elif kind == "boundary":
            fields[b] += ~free * rng.normal()
    return fields


def answered(problem: Evolution, mu: Mu, fields: Array) -> Prediction:
    """Trajectories as somebody's answer."""
    shaped = fields.reshape(*fields.shape[:2], *problem.space.shape)
    inside = np.ones(len(fields), dtype=bool)
    return uncertified(mu, shaped, Trajectories(problem.space, problem.times), inside)


class Learned(Surrogate):
    """A regression on whole trajectories, answering as what they are."""

    parameters: Any = None
    space: Any = None

    def __init__(self, problem: Evolution, runs: Snapshots, seed: int):
        self._problem, self.parameters, self.space = problem, problem.parameters, problem.space
        count = len(problem.times)
        rows = np.asarray(runs.fields).reshape(len(runs), count, -1)
        table = replace(runs, space=Points(rows.shape[1:]), fields=rows, times=None)
        self._inner = PODRegression().fit(table, seed=seed)

    def predict(self, mu: Mu) -> Prediction:
        return answered(self._problem, mu, self._inner.predict(mu).field)

    def to_parts(self) -> Parts:
        raise InputError("not stored")

    @classmethod
    def from_parts(cls, config: Any, arrays: Any, children: Any) -> "Learned":
        raise InputError("not stored")

"""Small parabolic problems whose time-discrete solutions are known to extended precision."""

from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Parts, Storable
from nwidth.problems.base import Quantity
from nwidth.problems.min_theta import MinTheta
from nwidth.problems.parabolic import AffineEvolution, EvolutionTerms, Stepping
from nwidth.problems.parabolic_signals import Signals
from nwidth.spaces.box import Box
from nwidth.spaces.joint import Joint
from nwidth.spaces.mesh import Form, MeshSpace

LONG = np.longdouble


class RandomEvolution(AffineEvolution, Storable):
    """Random semidefinite terms, a random mass, one load and one matrix coefficient that vary in time; the first node
    is prescribed. X = A at coefficients 1. The start is drawn too."""

    kind: ClassVar[str] = "testing-random-evolution"
    parameters: Any = None
    space: Any = None
    stepping: Any = None

    def __init__(
        self, size: int = 24, terms: int = 2, seed: int = 0, count: int = 20, dt: float = 0.05,
        scheme: Any = "implicit-euler", every: int = 1, spread: float = 100.0, starts: int = 1,
    ):  # fmt: skip
        self.config = {
            "size": size, "terms": terms, "seed": seed, "count": count, "dt": dt, "scheme": scheme, "every": every,
            "spread": spread, "starts": starts,
        }  # fmt: skip
        rng = np.random.default_rng(seed)
        free = np.arange(size + 1) > 0
        matrices = [_definite(rng, size + 1, spread) for _ in range(terms)]
        mass = _definite(rng, size + 1, 5.0)
        loads = rng.normal(size=(2, size + 1)) * free
        lift = np.where(free, 0.0, 0.7)
        self._functionals = np.concatenate([loads[:1], rng.normal(size=(1, size + 1))])
        self._starts = rng.normal(size=(starts, size + 1)) * free
        x = sum(matrices)
        smallest = float(np.linalg.eigvalsh(x[1:, 1:])[0]) * (1 - 1e-6)
        self._mass = Form(sp.csr_array(mass), float(np.linalg.eigvalsh(mass[1:, 1:])[0]) * (1 - 1e-6))
        energy = Form(sp.csr_array(x), smallest)
        elements = np.stack([np.arange(size), np.arange(1, size + 1)], axis=1)
        self.space = MeshSpace(np.arange(size + 1.0)[:, None], elements, free, energy, self._mass, "line")
        self.stepping = Stepping(dt, count, scheme, every)
        names = tuple(f"t{q}" for q in range(terms - 1)) + tuple(f"s{k}" for k in range(starts))
        pieces = 5
        self.signals = Signals(
            ("h", "p"), (0.2, -1.0), (5.0, 1.0), log=(True, False), pieces=pieces, length=dt * count / pieces
        )
        self.parameters = self.signals
        if names:
            low, high = [0.2] * (terms - 1) + [-1.0] * starts, [5.0] * (terms - 1) + [1.0] * starts
            self.parameters = Joint((Box(names, low, high), self.signals))
        stability = MinTheta(np.ones(terms), 1e-10)
        self._terms = EvolutionTerms(tuple(sp.csr_array(m) for m in matrices), loads, free, lift, self._mass, stability)

    def terms(self) -> EvolutionTerms:
        return self._terms

    def coefficients(self, mu: Mu, times: Real) -> tuple[Real, Real]:
        h, p = (self.signals.at(mu[name], times) for name in ("h", "p"))
        count = len(self._terms.matrices) - 1
        fixed = [np.broadcast_to(np.asarray(mu[f"t{q}"])[:, None], h.shape) for q in range(count)]
        return np.stack([*fixed, h], axis=2), np.stack([p, np.cos(3 * times) + 0 * p], axis=2)

    def starts(self, mu: Mu) -> tuple[Real, Real]:
        count = len(self._starts)
        psi = [np.asarray(mu[f"s{k}"], dtype=float) for k in range(count)]
        return np.stack(psi, axis=1) if count else np.zeros((len(mu["h"]), 0)), self._starts

    def quantities(self) -> dict[str, Quantity]:
        return {
            "compliant": Quantity(self._functionals[0], unit="K"),
            "other": Quantity(self._functionals[1], offset=3.0),
        }

    def to_parts(self) -> Parts:
        return Parts(self.config, {}, {})

    @classmethod
    def from_parts(cls, config: Any, arrays: Any, children: Any) -> Self:
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RandomEvolution) and self.config == other.config

    def __hash__(self) -> int:
        return hash(tuple(self.config.values()))


def _definite(rng: np.random.Generator, size: int, spread: float) -> Real:
    vectors = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return (vectors * np.geomspace(1.0, spread, size)) @ vectors.T


def exact(problem: AffineEvolution, mu: Mu) -> tuple[Array, Array]:
    """Levels and points of all steps, dofs `(B, K, N)`, in extended precision: dense float64 factors, residuals and
    sums in the wide type, iterated to the end."""
    steps, terms = problem.stepping, problem.terms()
    theta, phi = problem.coefficients(mu, steps.points(0, steps.count))
    free = terms.free
    wide = [np.asarray(m.toarray()[np.ix_(free, free)], dtype=LONG) for m in (*terms.matrices, problem.mass().matrix)]
    psi, g = problem.starts(mu)
    levels = np.zeros((len(theta), steps.count, len(free)), dtype=LONG)
    points = levels.copy()
    for b in range(len(theta)):
        w = (psi[b].astype(LONG) @ g.astype(LONG))[free]
        for k in range(steps.count):
            scale = LONG(1) / (LONG(steps.weight) * LONG(steps.dt))
            a = sum(t * m for t, m in zip(theta[b, k].astype(LONG), wide[:-1], strict=True)) + scale * wide[-1]
            f = (phi[b, k].astype(LONG) @ terms.loads.astype(LONG))[free] + scale * (wide[-1] @ w)
            v, factor = np.zeros_like(w), np.linalg.inv(a.astype(np.float64)).astype(LONG)
            for _ in range(12):
                v = v + factor @ (f - a @ v)
            w = w + (v - w) / LONG(steps.weight)
            levels[b, k, free], points[b, k, free] = w, v
    return levels + terms.lift, points + terms.lift


def mass_error(problem: AffineEvolution, e: Array) -> Real:
    """`‖e‖_M` on the free dofs, over the last axis, in extended precision."""
    return _norm(problem.mass().matrix, e * problem.terms().free)


def _norm(matrix: sp.csr_array, e: Array) -> Real:
    dense = np.asarray(matrix.toarray(), dtype=LONG)
    e = e.astype(LONG)
    return np.sqrt(np.maximum(np.sum(e * (e @ dense), axis=-1), 0)).astype(np.float64)


def space_time_error(problem: AffineEvolution, mu: Mu, levels: Array, points: Array) -> Real:
    """`√(‖e^K‖²_M + Σ dt ‖e_ϑ‖²_A)` for errors `(B, K, N)`, `(B,)`."""
    steps, terms = problem.stepping, problem.terms()
    theta, _ = problem.coefficients(mu, steps.points(0, steps.count))
    total = mass_error(problem, levels[:, -1]) ** 2
    e = points * terms.free
    for q, matrix in enumerate(terms.matrices):
        total = total + steps.dt * np.sum(theta[:, :, q] * _norm(matrix, e) ** 2, axis=1)
    return np.sqrt(total)


STEPPING = Stepping(0.01, 50)


class HeatLine(AffineEvolution):
    """`∂t u = κ ∂xx u` on (0, 1), u = 0 at both ends, u(x, 0) = a sin(πx), by linear elements.

    Sines are their eigenvectors: the time-discrete solution is `a g^k sin(πx)` with g the amplification factor
    at `eigenvalue` κ λ.
    """

    parameters = Box(("kappa", "a"), low=(0.1, -1.0), high=(2.0, 1.0))

    def __init__(self, cells: int = 20, stepping: Stepping = STEPPING):
        self.stepping, step = stepping, 1.0 / cells
        nodes = np.linspace(0.0, 1.0, cells + 1)
        ends, inner = np.full(cells, -1.0), np.where((nodes > 0) & (nodes < 1), 2.0, 1.0)
        stiffness = sp.csr_array(sp.diags_array([ends, inner, ends], offsets=[-1, 0, 1])) / step
        mass = sp.csr_array(sp.diags_array([-ends, 2 * inner, -ends], offsets=[-1, 0, 1])) * (step / 6)
        free = (nodes > 0) & (nodes < 1)
        self._mass = Form(mass, step / 3 * (1 - 1e-12))
        cosine = np.cos(np.pi * step)
        self.eigenvalue = 6 / step**2 * (1 - cosine) / (2 + cosine)
        self.sine = np.sin(np.pi * nodes) * free
        # ∫ v'² >= π² ∫ v² for v = 0 at the ends
        energy = Form(sp.csr_array(stiffness), np.pi**2 * step / 3 * (1 - 1e-6))
        pairs = np.stack([np.arange(cells), np.arange(1, cells + 1)], axis=1)
        self.space = MeshSpace(nodes[:, None], pairs, free, energy, self._mass, "line")
        zeros = np.zeros(cells + 1)
        self._terms = EvolutionTerms(
            (sp.csr_array(stiffness),), zeros[None], free, zeros, self._mass, MinTheta(np.ones(1), 1e-12)
        )

    space: Any = None
    stepping: Any = None

    def terms(self) -> EvolutionTerms:
        return self._terms

    def coefficients(self, mu: Mu, times: Real) -> tuple[Real, Real]:
        kappa = np.asarray(mu["kappa"], dtype=float)[:, None, None]
        return np.repeat(kappa, len(times), axis=1), np.zeros((len(kappa), len(times), 1))

    def starts(self, mu: Mu) -> tuple[Real, Real]:
        return np.asarray(mu["a"], dtype=float)[:, None], self.sine[None]

    def quantities(self) -> dict[str, Quantity]:
        return {"middle": Quantity(np.where(np.arange(len(self.sine)) == len(self.sine) // 2, 1.0, 0.0))}

    def exact(self, mu: Mu) -> Real:
        """The time-discrete solution at the stored levels, `(B, T, N)`."""
        x, weight = np.asarray(mu["kappa"]) * self.eigenvalue * self.stepping.dt, self.stepping.weight
        factor = (1 - (1 - weight) * x) / (1 + weight * x)
        levels = np.arange(self.stepping.every, self.stepping.count + 1, self.stepping.every)
        return (np.asarray(mu["a"])[:, None] * factor[:, None] ** levels)[:, :, None] * self.sine
